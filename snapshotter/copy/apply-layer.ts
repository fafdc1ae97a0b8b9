import { lstat, lutimes } from 'node:fs/promises'
import { join } from 'node:path'
import { overlayDiff, toPackEntry } from '../layer/diff.ts'
import type { LayerPath } from '../layer/entry.ts'
import { readImpliedDirectories } from '../layer/implied.ts'
import type { Kernel, LayerMaker, PackEntry } from '../native/kernel-types.ts'
import type { DiffEntry, LayerDirectory } from '../snapshotter.ts'
import { errnoOf } from '../store/errors.ts'
import { bytesBelow } from './tree-files.ts'

/** Entries that are made at once. */
const BATCH = 4096

export interface ApplyLayerOptions {
  readonly kernel: Pick<Kernel, 'scanTree' | 'createMaker'>
}

/**
 * Changes the tree `target`, which shows what lies below `layer` (overlay form), into what a mount with it would show. The
 * bytes of files are shared where the filesystem can, or copied side by side.
 */
export async function applyLayer(
  layer: LayerDirectory,
  target: string,
  { kernel }: ApplyLayerOptions,
  signal: AbortSignal,
): Promise<void> {
  const root = join(layer.path, 'fs')
  const entries = overlayDiff(await kernel.scanTree({ root, withXattrs: true, signal }))
  // Where there is only one user, it all belongs to him already, so that no owner has to be changed.
  await using maker = kernel.createMaker({
    ...{ root: target, whiteouts: 'apply', userXattr: false, ownership: 'owners', signal },
  })
  const shown = await addEntries(entries, { layer, root, target }, maker)
  await maker.finish()
  for (const [path, { atime, mtime }] of shown) {
    await lutimes(bytesBelow(target, path), atime, mtime)
  }
}

/**
 * What a layer only implies, lower layers describe: these directories are left as they are where there is one. Returns
 * them, with their times.
 */
async function addEntries(
  entries: readonly DiffEntry[],
  {
    layer,
    root,
    target,
  }: { readonly layer: LayerDirectory; readonly root: string; readonly target: string },
  maker: LayerMaker,
): Promise<ReadonlyMap<LayerPath, Times>> {
  const implied = new Set(await readImpliedDirectories(layer))
  const shown = new Map<LayerPath, Times>()
  let batch: PackEntry[] = []
  for (const entry of entries) {
    const isImplied = entry.type === 'dir' && implied.has(entry.path)
    if (isImplied || batch.length === BATCH) {
      // Sorted: what is above it is made then, so that no symlink can be in the way.
      await maker.add(batch)
      batch = []
    }
    const times = isImplied ? await timesOfDirectory(bytesBelow(target, entry.path)) : undefined
    if (times === undefined) batch.push(toPackEntry(entry, root))
    else shown.set(entry.path, times)
  }
  await maker.add(batch)
  return shown
}

interface Times {
  readonly atime: Date
  readonly mtime: Date
}

async function timesOfDirectory(path: Buffer): Promise<Times | undefined> {
  try {
    const stats = await lstat(path)
    return stats.isDirectory() ? stats : undefined
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}
