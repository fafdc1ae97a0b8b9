import type { LayerEntry, LayerPath } from '../layer/entry.ts'
import { comparePaths, nameOf, parentOf } from '../layer/order.ts'
import {
  impliedDirectory,
  isLink,
  isOpaque,
  isPlaced,
  isWhiteout,
  type LinkEntry,
  type TreeEntry,
  type TreeNode,
} from '../layer/tree.ts'
import type { DiffEntry } from '../snapshotter.ts'
import { normalizeEntries } from './normalize.ts'

class Inner<E extends DiffEntry> implements TreeNode<E> {
  readonly path: LayerPath
  entry: TreeEntry<E>
  layer: number
  source: LayerPath
  children: Map<string, Inner<E>> | undefined

  constructor(path: LayerPath, entry: TreeEntry<E>, layer: number) {
    this.path = path
    this.entry = entry
    this.layer = layer
    this.source = path
  }
}

/**
 * The rules of `MergedLayers` in their plainest form, whole in memory: what that and `StackView`, which read tables of
 * contents, are compared with.
 */
export class LayerTree<E extends DiffEntry = LayerEntry> {
  readonly #root: Inner<E> = new Inner<E>('', impliedDirectory(''), -1)
  #layerCount = 0

  /** Bottom layer first; entries in any order of a tar. */
  static of<E extends DiffEntry>(layers: readonly (readonly E[])[]): LayerTree<E> {
    const tree = new LayerTree<E>()
    for (const entries of layers) tree.#addLayer(normalizeEntries(entries))
    return tree
  }

  /** What is at `path` itself; no symlink is followed. '' is the root. */
  lookup(path: LayerPath): TreeNode<E> | undefined {
    return this.#find(path)
  }

  /** In byte order of their names; empty for anything that is no directory. */
  children(path: LayerPath): readonly TreeNode<E>[] {
    return sortedChildren(this.#find(path))
  }

  /** `path` and everything below it, parents first, sorted. Nothing when it is not there. */
  *walk(path: LayerPath): Generator<TreeNode<E>> {
    const start = this.#find(path)
    const stack = start === undefined ? [] : [start]
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      yield node
      stack.push(...sortedChildren(node).reverse())
    }
  }

  #find(path: LayerPath): Inner<E> | undefined {
    let node: Inner<E> | undefined = this.#root
    if (path === '') return node
    for (const name of path.split('/')) {
      node = node.children?.get(name)
      if (node === undefined) return undefined
    }
    return node
  }

  #addLayer(entries: readonly E[]): void {
    this.#addLinks(this.#addEntries(entries))
  }

  /** Entries of the current layer, normalised; returns its hardlinks, whose targets may still come. */
  #addEntries(entries: readonly E[]): LinkEntry<E>[] {
    const links: LinkEntry<E>[] = []
    for (const entry of entries) {
      if (isWhiteout(entry)) this.#find(parentOf(entry.path))?.children?.delete(nameOf(entry.path))
      else if (isOpaque(entry)) this.#find(entry.path)?.children?.clear()
      else if (isLink(entry)) links.push(entry)
      else if (isPlaced(entry)) this.#put(entry.path, entry)
    }
    return links
  }

  /** Ends the layer. A link to a link is put once its target is. */
  #addLinks(links: readonly LinkEntry<E>[]): void {
    const waiting = new Map(links.map((link) => [link.path, link]))
    for (const link of links) this.#putLink(link, waiting)
    this.#layerCount += 1
  }

  #putLink(first: LinkEntry<E>, waiting: Map<LayerPath, LinkEntry<E>>): void {
    const chain: LinkEntry<E>[] = []
    for (let link = waiting.get(first.path); link !== undefined; link = waiting.get(link.target)) {
      waiting.delete(link.path)
      chain.push(link)
    }
    for (const link of chain.reverse()) {
      const target = this.#find(link.target)
      // A link to nothing is no file: whoever unpacks the layer refuses it.
      if (target === undefined || target.entry.type === 'dir') continue
      const node = this.#put(link.path, { ...target.entry, path: link.path })
      node.source = target.source
      node.layer = target.layer
    }
  }

  #put(path: LayerPath, entry: TreeEntry<E>): Inner<E> {
    if (path === '') {
      this.#root.entry = entry
      this.#root.layer = this.#layerCount
      return this.#root
    }
    const parent = this.#parentFor(path)
    parent.children ??= new Map()
    const name = nameOf(path)
    const existing = parent.children.get(name)
    if (existing === undefined) {
      const node = new Inner<E>(path, entry, this.#layerCount)
      parent.children.set(name, node)
      return node
    }
    existing.entry = entry
    existing.layer = this.#layerCount
    existing.source = path
    if (entry.type !== 'dir') existing.children = undefined
    return existing
  }

  #parentFor(path: LayerPath): Inner<E> {
    const parentPath = parentOf(path)
    const parent = this.#find(parentPath)
    if (parent?.entry.type === 'dir') return parent
    // A layer that has `a/b` makes `a` a directory even where a lower one had a file.
    return this.#put(parentPath, impliedDirectory(parentPath))
  }
}

function sortedChildren<E extends DiffEntry>(node: Inner<E> | undefined): Inner<E>[] {
  if (node?.children === undefined) return []
  return [...node.children.values()].sort((a, b) => comparePaths(a.path, b.path))
}
