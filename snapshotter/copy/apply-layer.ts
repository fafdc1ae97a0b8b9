import { link, lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { overlayDiff } from '../layer/diff.ts'
import { readImpliedDirectories } from '../layer/implied.ts'
import { decodePath } from '../layer/path-bytes.ts'
import type { Kernel } from '../native/kernel-types.ts'
import type { DiffEntry, LayerDirectory } from '../snapshotter.ts'
import { errnoOf } from '../store/errors.ts'
import { bytesBelow, makeEntry, setMetadata, setTime, type TreeFilesOptions } from './tree-files.ts'

export interface ApplyLayerOptions extends TreeFilesOptions {
  readonly kernel: Pick<Kernel, 'setXattr' | 'makeNode' | 'scanTree' | 'removeTree'>
}

type Made = Exclude<DiffEntry, { type: 'whiteout' | 'opaque' }>
type Directory = Extract<DiffEntry, { type: 'dir' }>

/** Changes the tree `target`, which shows what lies below `layer` (overlay form), into what a mount with it would show. */
export async function applyLayer(
  layer: LayerDirectory,
  target: string,
  options: ApplyLayerOptions,
  signal: AbortSignal,
): Promise<void> {
  const root = join(layer.path, 'fs')
  const scanned = await options.kernel.scanTree({ root, withXattrs: true, signal })
  const implied = new Set(await readImpliedDirectories(layer))
  const directories: Directory[] = []
  // Sorted: parents come before what is in them, and an opaque mark right after its directory.
  for (const entry of overlayDiff(scanned)) {
    signal.throwIfAborted()
    await clear(entry, target, options, signal)
    if (entry.type === 'whiteout' || entry.type === 'opaque') continue
    const isThere = entry.type === 'dir' && (await isDirectory(bytesBelow(target, entry.path)))
    if (isThere && implied.has(entry.path)) continue
    if (isThere) await setMetadata(target, entry, options)
    else await make(entry, { root, target }, options)
    if (entry.type === 'dir') directories.push(entry)
  }
  for (const entry of directories.reverse()) await setTime(target, entry)
}

/** Takes away what `entry` hides or replaces. */
async function clear(
  { type, path }: DiffEntry,
  target: string,
  { kernel }: ApplyLayerOptions,
  signal: AbortSignal,
): Promise<void> {
  const place = bytesBelow(target, path)
  if (type === 'opaque') {
    for (const name of await readdir(place, 'buffer')) {
      await kernel.removeTree(`${target}/${path}/${decodePath(name)}`, signal)
    }
  } else if (type !== 'dir' || !(await isDirectory(place))) {
    await kernel.removeTree(`${target}/${path}`, signal)
  }
}

async function make(
  entry: Made,
  { root, target }: { readonly root: string; readonly target: string },
  options: ApplyLayerOptions,
): Promise<void> {
  if (isPlaced(entry)) {
    await makeEntry(target, entry, bytesBelow(root, entry.path), options)
  } else {
    await link(bytesBelow(target, entry.target), bytesBelow(target, entry.path))
  }
}

/** The links of a file come after it, by what EntryMaker makes of a scan. */
function isPlaced(entry: Made): entry is Exclude<Made, { type: 'hardlink' }> {
  return entry.type !== 'hardlink'
}

async function isDirectory(path: Buffer): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory()
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}
