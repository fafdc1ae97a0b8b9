import { type Stats, statSync } from 'node:fs'
import { join } from 'node:path'
import { SnapshotError } from '../errors.ts'
import type { LayerDirectory } from '../snapshotter.ts'

/**
 * OVL_MAX_STACK of fs/overlayfs is 500: the kernel refuses more lower directories. One is kept for what amend-directories.ts
 * makes. The copy driver keeps the same bound.
 */
const LAYERS_MAX = 499

/**
 * Stats of the parents' roots, bottom first, after checking that they can be stacked.
 * Errors: `snapshot-too-many-layers`, `snapshot-layer-missing`.
 */
export function checkParents(parents: readonly LayerDirectory[]): Stats[] {
  if (parents.length > LAYERS_MAX) {
    throw new SnapshotError(
      'snapshot-too-many-layers',
      `could not stack ${parents.length} layers: the kernel takes at most ${LAYERS_MAX}; join RUN instructions or flatten the base image`,
    )
  }
  // Not by the thread pool: it is a microsecond each, and a snapshot of a long build has hundreds.
  return parents.map(({ path }) => {
    const stats = statSync(join(path, 'fs'), { throwIfNoEntry: false })
    if (stats !== undefined) return stats
    throw new SnapshotError(
      'snapshot-layer-missing',
      `could not prepare a snapshot: layer directory ${path} is not there`,
    )
  })
}
