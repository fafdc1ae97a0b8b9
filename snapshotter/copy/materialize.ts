import { link, mkdir, readdir, rename, rmdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { overlayDiff } from '../layer/diff.ts'
import type { LayerPath } from '../layer/entry.ts'
import { readImpliedDirectories } from '../layer/implied.ts'
import { parentOf } from '../layer/order.ts'
import { LayerTree, type TreeNode } from '../layer/tree.ts'
import type { Kernel } from '../native/kernel-types.ts'
import type { DiffEntry, LayerDirectory } from '../snapshotter.ts'
import { type TreeFilesOptions, bytesBelow, makeEntry, setMetadata, setTime } from './tree-files.ts'

export interface MaterializeOptions extends TreeFilesOptions {
  readonly kernel: Pick<Kernel, 'setXattr' | 'makeNode' | 'scanTree' | 'copyTree' | 'removeTree'>
}

type Node = TreeNode<DiffEntry>

/**
 * Fills the empty directory `target` with what a mount of `layers` (bottom first, overlay form) would show. The bottom layer,
 * mostly by far the largest, is copied by the kernel's threads; what the layers above change in it is done after.
 */
export async function materialize(
  layers: readonly LayerDirectory[],
  target: string,
  options: MaterializeOptions,
  signal: AbortSignal,
): Promise<void> {
  const [bottom] = layers
  if (bottom === undefined) return
  const { kernel } = options
  const roots = layers.map(({ path }) => join(path, 'fs'))
  const diffs: DiffEntry[][] = []
  for (const layer of layers) {
    const scanned = await kernel.scanTree({
      root: join(layer.path, 'fs'),
      withXattrs: true,
      signal,
    })
    // What a layer only implies, lower layers describe.
    const implied = new Set(await readImpliedDirectories(layer))
    diffs.push(
      overlayDiff(scanned).filter(({ type, path }) => type !== 'dir' || !implied.has(path)),
    )
  }
  await kernel.copyTree(join(bottom.path, 'fs'), target, signal)
  const tree = LayerTree.of(diffs)
  const kept = await removeHidden(diffs[0] ?? [], { tree, target }, options, signal)
  const places: Places = { roots, target, kept, made: new Map() }
  for (const node of tree.walk('')) {
    signal.throwIfAborted()
    if (node.path !== '' && node.layer > 0) await place(node, places, options)
  }
  const directories = [...tree.walk('')].filter(
    ({ entry, path }) => entry.type === 'dir' && path !== '',
  )
  for (const { entry } of layers.length > 1 ? directories.reverse() : [])
    await setTime(target, entry)
}

/**
 * Takes away what upper layers hide or replace of the bottom one, and its whiteout devices, which hide nothing.
 * Returns the directories that stay.
 */
async function removeHidden(
  bottom: readonly DiffEntry[],
  { tree, target }: { readonly tree: LayerTree<DiffEntry>; readonly target: string },
  { kernel }: MaterializeOptions,
  signal: AbortSignal,
): Promise<ReadonlyMap<LayerPath, DiffEntry>> {
  const gone = new Set<LayerPath>()
  const directories = new Map<LayerPath, DiffEntry>()
  for (const entry of bottom) {
    if (entry.type === 'opaque') continue
    const { path } = entry
    if (gone.has(parentOf(path))) {
      gone.add(path)
      continue
    }
    if (entry.type !== 'whiteout' && isKept(entry, tree.lookup(path))) {
      if (entry.type === 'dir') directories.set(path, entry)
      continue
    }
    gone.add(path)
    if (entry.type === 'dir') await kernel.removeTree(`${target}/${path}`, signal)
    else await unlink(bytesBelow(target, path))
  }
  return directories
}

/** Whether what was copied of the bottom layer is still there in the end: itself, or as a directory with other attributes. */
function isKept(bottom: DiffEntry, node: Node | undefined): boolean {
  if (node === undefined) return false
  return node.layer === 0 || (bottom.type === 'dir' && node.entry.type === 'dir')
}

interface Places {
  readonly roots: readonly string[]
  readonly target: string
  /** Directories of the bottom layer that are there already. */
  readonly kept: ReadonlyMap<LayerPath, DiffEntry>
  /** First path made for each (layer, source): the other names of a file are linked to it. */
  readonly made: Map<string, LayerPath>
}

async function place(node: Node, places: Places, options: MaterializeOptions): Promise<void> {
  const { entry, path } = node
  const { roots, target, made } = places
  const file = `${node.layer}:${node.source}`
  const first = made.get(file)
  if (first !== undefined) {
    await link(bytesBelow(target, first), bytesBelow(target, path))
    return
  }
  const old = places.kept.get(path)
  if (old !== undefined && 'xattrs' in old) await renewDirectory(target, path)
  else if (old === undefined) {
    if (entry.type !== 'dir') made.set(file, path)
    await makeEntry(target, entry, bytesBelow(roots[node.layer] ?? '', node.source), options)
    return
  }
  await setMetadata(target, entry, options)
}

/** A fresh directory with the old one's children: attributes that the upper layer took away would stay otherwise. */
async function renewDirectory(target: string, path: LayerPath): Promise<void> {
  const place = bytesBelow(target, path)
  const aside = Buffer.from(`${target}.old`)
  await rename(place, aside)
  await mkdir(place)
  for (const name of await readdir(aside, 'buffer')) {
    await rename(
      Buffer.concat([aside, Buffer.from('/'), name]),
      Buffer.concat([place, Buffer.from('/'), name]),
    )
  }
  await rmdir(aside)
}
