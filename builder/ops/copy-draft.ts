import {
  comparePaths,
  joinPath,
  type LayerPath,
  nameOf,
  type PackEntry,
  parentOf,
} from '../../snapshotter/index.ts'
import { CopyError } from './copy-errors.ts'
import type { TreeEntry, TreeView } from './copy-source.ts'

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never

/** Metadata of a directory in a draft. */
export type DraftMetadata = Pick<TreeEntry, 'mode' | 'uid' | 'gid' | 'mtimeSec' | 'xattrs'>

/** Anything but a directory, without its path: several paths may hold the same file (hardlinks). */
export type DraftLeaf = DistributiveOmit<
  Extract<PackEntry, { type: 'file' | 'symlink' | 'char' | 'block' | 'fifo' }>,
  'path'
>

/** What a draft has at a path. */
export interface DraftItem {
  readonly entry: PackEntry
  /** As in DirectoryNode. */
  readonly isNew: boolean
  readonly hidesBelow: boolean
}

interface DirectoryNode {
  readonly kind: 'dir'
  readonly path: LayerPath
  metadata: DraftMetadata
  readonly children: Map<string, DraftNode>
  /** False: children that are not in the draft are those of the filesystem below. */
  readonly isNew: boolean
  /** New, but the filesystem below has a directory there that must not shine through. */
  readonly hidesBelow: boolean
}

interface LeafNode {
  readonly kind: 'leaf'
  readonly leaf: DraftLeaf
}

type DraftNode = DirectoryNode | LeafNode

/**
 * The layer of a COPY, ADD or WORKDIR while it is made: what is written over a filesystem that stays as it is. Reading
 * sees both. Paths are resolved: no component of them is a symlink.
 */
export class LayerDraft implements Pick<TreeView, 'lookup'> {
  readonly #base: Pick<TreeView, 'lookup'>
  readonly #root: DirectoryNode
  /** Directories of the draft by path: the files of a directory come one after another. */
  readonly #directories = new Map<LayerPath, DirectoryNode>()

  constructor(base: Pick<TreeView, 'lookup'>) {
    this.#base = base
    const metadata = { mode: 0o755, uid: 0, gid: 0, mtimeSec: 0 }
    this.#root = {
      kind: 'dir',
      path: '',
      metadata,
      children: new Map(),
      isNew: false,
      hidesBelow: false,
    }
    this.#directories.set('', this.#root)
  }

  async lookup(path: LayerPath): Promise<TreeEntry | undefined> {
    const { node, isBelow } = this.#find(path)
    if (isBelow) {
      return this.#base.lookup(path)
    }
    if (node === undefined) {
      return undefined
    }
    return node.kind === 'dir'
      ? { ...node.metadata, type: 'dir', path }
      : leafEntry(node.leaf, path)
  }

  /** Makes a directory whose parent exists; what else was at `path` is gone. */
  async makeDirectory(path: LayerPath, metadata: DraftMetadata): Promise<void> {
    const parent = await this.#open(parentOf(path))
    const below = parent.isNew ? undefined : await this.#base.lookup(path)
    this.#forget(path)
    const hidesBelow = below?.type === 'dir'
    this.#attach(parent, {
      kind: 'dir',
      path,
      metadata,
      children: new Map(),
      isNew: true,
      hidesBelow,
    })
  }

  /** Makes the directory at `path` a part of the layer, changing `metadata` when it is given. */
  async touchDirectory(path: LayerPath, metadata?: Partial<DraftMetadata>): Promise<void> {
    const node = await this.#open(path)
    node.metadata = { ...node.metadata, ...metadata }
  }

  /** Puts a file or other leaf; what else was at `path` is gone, a directory with all that is in it. */
  async put(path: LayerPath, leaf: DraftLeaf): Promise<void> {
    refuseReservedName(path)
    const parent = this.#directories.get(parentOf(path)) ?? (await this.#open(parentOf(path)))
    this.#forget(path)
    parent.children.set(nameOf(path), { kind: 'leaf', leaf })
  }

  /** The leaf that was put at `path`, to put it under another name (hardlinks). */
  leafAt(path: LayerPath): DraftLeaf | undefined {
    const { node } = this.#find(path)
    return node?.kind === 'leaf' ? node.leaf : undefined
  }

  /** The layer in the order of its tar: parents first, names sorted, the first name of a file holds its bytes. */
  items(): DraftItem[] {
    const items: DraftItem[] = []
    const firstPaths = new Map<DraftLeaf, LayerPath>()
    emitChildren(this.#root, items, firstPaths)
    return items
  }

  /** The draft's node at `path`, or that the filesystem below decides. */
  #find(path: LayerPath): { readonly node: DraftNode | undefined; readonly isBelow: boolean } {
    if (path === '') {
      return { node: undefined, isBelow: true }
    }
    let node: DraftNode | undefined = this.#root
    for (const name of path.split('/')) {
      const directory: DraftNode | undefined = node
      if (directory?.kind !== 'dir') {
        return { node: undefined, isBelow: false }
      }
      node = directory.children.get(name)
      if (node === undefined && !directory.isNew) {
        return { node: undefined, isBelow: true }
      }
    }
    return { node, isBelow: false }
  }

  /** The draft's node of an existing directory, made from the filesystem below when it is only there. */
  async #open(path: LayerPath): Promise<DirectoryNode> {
    const known = this.#directories.get(path)
    if (known !== undefined) {
      return known
    }
    const entry = await this.lookup(path)
    if (entry?.type !== 'dir') {
      throw new CopyError('copy-conflict', `could not write below /${path}: not a directory`)
    }
    const parent = await this.#open(parentOf(path))
    const { mode, uid, gid, mtimeSec, xattrs } = entry
    const metadata = { mode, uid, gid, mtimeSec, ...(xattrs === undefined ? {} : { xattrs }) }
    return this.#attach(parent, {
      kind: 'dir',
      path,
      metadata,
      children: new Map(),
      isNew: false,
      hidesBelow: false,
    })
  }

  #attach(parent: DirectoryNode, node: DirectoryNode): DirectoryNode {
    refuseReservedName(node.path)
    parent.children.set(nameOf(node.path), node)
    this.#directories.set(node.path, node)
    return node
  }

  #forget(path: LayerPath): void {
    if (this.#directories.delete(path)) {
      for (const directory of this.#directories.keys()) {
        if (directory.startsWith(`${path}/`)) {
          this.#directories.delete(directory)
        }
      }
    }
  }
}

function emitChildren(
  directory: DirectoryNode,
  items: DraftItem[],
  firstPaths: Map<DraftLeaf, LayerPath>,
): void {
  const names = [...directory.children.keys()].sort(comparePaths)
  for (const name of names) {
    const node = directory.children.get(name)
    if (node?.kind === 'dir') {
      const { isNew, hidesBelow } = node
      items.push({ entry: { ...node.metadata, type: 'dir', path: node.path }, isNew, hidesBelow })
      emitChildren(node, items, firstPaths)
    } else if (node !== undefined) {
      const entry = emitLeaf(node.leaf, joinPath(directory.path, name), firstPaths)
      items.push({ entry, isNew: true, hidesBelow: false })
    }
  }
}

/** The entries of a draft that nothing else is merged with. */
export function draftEntries(items: readonly DraftItem[]): PackEntry[] {
  return items.flatMap(({ entry, hidesBelow }): PackEntry[] =>
    hidesBelow ? [entry, { type: 'opaque', path: entry.path }] : [entry],
  )
}

function emitLeaf(
  leaf: DraftLeaf,
  path: LayerPath,
  firstPaths: Map<DraftLeaf, LayerPath>,
): PackEntry {
  if (leaf.type !== 'file') {
    return { ...leaf, path }
  }
  const first = firstPaths.get(leaf)
  if (first === undefined) {
    firstPaths.set(leaf, path)
    return Object.assign({ path }, leaf)
  }
  const { mode, uid, gid, mtimeSec } = leaf
  return { type: 'hardlink', path, target: first, mode, uid, gid, mtimeSec }
}

function leafEntry(leaf: DraftLeaf, path: LayerPath): TreeEntry {
  if (leaf.type !== 'file') {
    return { ...leaf, path }
  }
  const { source: _source, expect: _expect, ...rest } = leaf
  return { ...rest, path, linkGroup: undefined }
}

/** What an entry puts at its path. */
export function leafOf(entry: PackEntry): DraftLeaf {
  const { path, ...leaf } = entry
  if (
    leaf.type === 'dir' ||
    leaf.type === 'hardlink' ||
    leaf.type === 'whiteout' ||
    leaf.type === 'opaque'
  ) {
    throw new TypeError(`could not put /${path}: a ${leaf.type} is no leaf`)
  }
  return leaf
}

/** Errors: `reserved-name`. */
export function refuseReservedName(path: LayerPath): void {
  if (nameOf(path).startsWith('.wh.')) {
    throw new CopyError(
      'reserved-name',
      `could not copy to /${path}: names that begin with .wh. mark removed files and cannot be stored in a layer`,
    )
  }
}
