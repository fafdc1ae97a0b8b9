import type { Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SnapshotError } from '../errors.ts'
import type { LayerDirectory } from '../snapshotter.ts'
import { errnoOf } from '../store/errors.ts'

/**
 * OVL_MAX_STACK of fs/overlayfs is 500: the kernel refuses more lower directories. One is kept for what amend-directories.ts
 * makes. The copy driver keeps the same bound.
 */
export const LAYERS_MAX = 499

/**
 * Stats of the parents' roots, bottom first, after checking that they can be stacked.
 * Errors: `snapshot-too-many-layers`, `snapshot-layer-missing`.
 */
export async function checkParents(parents: readonly LayerDirectory[]): Promise<Stats[]> {
  if (parents.length > LAYERS_MAX) {
    throw new SnapshotError(
      'snapshot-too-many-layers',
      `could not stack ${parents.length} layers: the kernel takes at most ${LAYERS_MAX}; join RUN instructions or flatten the base image`,
    )
  }
  return Promise.all(
    parents.map(async ({ path }) => {
      try {
        return await stat(join(path, 'fs'))
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw error
        throw new SnapshotError(
          'snapshot-layer-missing',
          `could not prepare a snapshot: layer directory ${path} is not there`,
          { cause: error },
        )
      }
    }),
  )
}
