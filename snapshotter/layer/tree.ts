import type { DiffEntry } from '../snapshotter.ts'
import type { LayerEntry, LayerPath } from './entry.ts'

type DirEntry = Extract<LayerEntry, { type: 'dir' }>

/** What can be at a path once all layers are merged. */
export type TreeEntry<E extends DiffEntry = LayerEntry> =
  | Exclude<E, { type: 'whiteout' | 'opaque' | 'hardlink' }>
  | DirEntry

export interface TreeNode<E extends DiffEntry = LayerEntry> {
  readonly path: LayerPath
  /** A hardlink has the entry of the file that it names, with the link's own path. */
  readonly entry: TreeEntry<E>
  /** Index of the layer that holds it; -1 for a root that no layer mentions. */
  readonly layer: number
  /** Path of the bytes in that layer's directory; names of one file share (layer, source). */
  readonly source: LayerPath
}

export type LinkEntry<E extends DiffEntry> = Extract<E, { type: 'hardlink' }>

export function isWhiteout(entry: DiffEntry): entry is Extract<DiffEntry, { type: 'whiteout' }> {
  return entry.type === 'whiteout'
}

export function isOpaque(entry: DiffEntry): entry is Extract<DiffEntry, { type: 'opaque' }> {
  return entry.type === 'opaque'
}

export function isLink<E extends DiffEntry>(entry: E): entry is LinkEntry<E> {
  return entry.type === 'hardlink'
}

/** What is something at its path: no mark and no link. */
export function isPlaced<E extends DiffEntry>(entry: E): entry is E & TreeEntry<E> {
  return !isWhiteout(entry) && !isOpaque(entry) && !isLink(entry)
}

/** What unpacking makes of a directory that no entry describes. */
export function impliedDirectory(path: LayerPath): DirEntry {
  return { type: 'dir', path, mode: 0o755, uid: 0, gid: 0, mtimeSec: 0 }
}
