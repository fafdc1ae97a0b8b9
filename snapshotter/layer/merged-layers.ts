import type { DiffEntry } from '../snapshotter.ts'
import type { LayerPath } from './entry.ts'
import { EntryCursor, isAtOrBelow, isBelow } from './entry-cursor.ts'
import { type EntryPages, LayerIndex } from './layer-index.ts'
import { LinkTargets } from './link-targets.ts'
import { comparePaths } from './order.ts'
import { type StackNode, StackView } from './stack-view.ts'
import {
  impliedDirectory,
  isLink,
  isOpaque,
  isPlaced,
  isWhiteout,
  type TreeEntry,
  type TreeNode,
} from './tree.ts'

/** Nodes that are given at a time. */
const PAGE_LENGTH = 2048

export interface StackLayer<E extends DiffEntry> extends EntryPages<E> {
  /** Whether there are hardlinks in it. */
  readonly hasLinks: boolean
}

export interface WalkedNode<E extends DiffEntry> extends TreeNode<E> {
  /** False: a file has no other name in its layer. */
  readonly isLinked: boolean
}

/**
 * The merged view of a stack of layers from their tables of contents, of which a few pages are in memory, and a number for
 * each file that has several names. Whiteouts and opaque directories hide what lower layers have, at any place in their
 * own layer (OCI image-spec, layer.md). A directory that a layer only implies keeps what lower layers say of it.
 */
export class MergedLayers<E extends DiffEntry> {
  readonly #layers: readonly StackLayer<E>[]
  readonly #indexes: readonly LayerIndex<E>[]
  readonly #view: StackView<E>
  readonly #links = new Map<number, Promise<LinkTargets<E>>>()

  /** Bottom layer first. */
  constructor(layers: readonly StackLayer<E>[]) {
    this.#layers = layers
    this.#indexes = layers.map((pages) => new LayerIndex(pages))
    this.#view = new StackView(this.#indexes)
  }

  /** What is at `path` itself; no symlink is followed. '' is the root. */
  async lookup(path: LayerPath): Promise<StackNode<E> | undefined> {
    return await this.#view.lookup(path)
  }

  /** What is below `path`, parents first and sorted by components, in pages. */
  walk(path: LayerPath): AsyncGenerator<readonly WalkedNode<E>[]> {
    return this.#pagesOf(path, { isDeep: true })
  }

  /** What is right below `path`, sorted, in pages. What is below that is passed without reading all of it. */
  children(path: LayerPath): AsyncGenerator<readonly WalkedNode<E>[]> {
    return this.#pagesOf(path, { isDeep: false })
  }

  async *#pagesOf(
    path: LayerPath,
    { isDeep }: { readonly isDeep: boolean },
  ): AsyncGenerator<readonly WalkedNode<E>[]> {
    const isDirectory = (await this.#view.lookup(path))?.entry.type === 'dir'
    const showing = isDirectory ? await this.#view.layersIn(path) : []
    const cursors: EntryCursor<E>[] = []
    const links = new Map<number, LinkTargets<E>>()
    for (const index of showing.toReversed()) {
      const pages = this.#layers[index]
      const found = this.#indexes[index]
      if (pages === undefined || found === undefined) continue
      cursors.push(await EntryCursor.open(index, { pages, index: found }, path))
      if (pages.hasLinks) links.set(index, await this.#linksOf(index, pages))
    }
    const walk = new StackWalk(path, { cursors, links, isDeep })
    for (let page = await walk.next(); page.length > 0; page = await walk.next()) yield page
  }

  async #linksOf(index: number, layer: StackLayer<E>): Promise<LinkTargets<E>> {
    const links = this.#links.get(index) ?? LinkTargets.of(layer)
    this.#links.set(index, links)
    return await links
  }
}

/** A path that was passed; what lower layers than `floor` have below it is not seen. */
interface OpenPath {
  readonly path: LayerPath
  readonly floor: number
}

/** What is at a path as far as the layers were looked at. */
interface Found<E extends DiffEntry> {
  node: WalkedNode<E> | undefined
  floor: number
}

class StackWalk<E extends DiffEntry> {
  /** Bottom layer first. */
  #cursors: readonly EntryCursor<E>[]
  readonly #links: ReadonlyMap<number, LinkTargets<E>>
  readonly #open: OpenPath[]
  readonly #isDeep: boolean
  /** The cursor that is farthest back, and the least path of the others. */
  #first: EntryCursor<E> | undefined
  #limit: LayerPath | undefined

  constructor(
    root: LayerPath,
    parts: {
      readonly cursors: readonly EntryCursor<E>[]
      readonly links: ReadonlyMap<number, LinkTargets<E>>
      readonly isDeep: boolean
    },
  ) {
    this.#cursors = parts.cursors
    this.#links = parts.links
    this.#isDeep = parts.isDeep
    this.#open = [{ path: root, floor: 0 }]
  }

  /** Empty at the end. */
  async next(): Promise<WalkedNode<E>[]> {
    const page: WalkedNode<E>[] = []
    while (page.length < PAGE_LENGTH) {
      const least = this.#leastPath()
      if (least === undefined) break
      const parent = this.#parentOf(least)
      const path = childTowards(least, parent.path)
      // Waiting for each of 500,000 entries would take longer than all the rest.
      const found = this.#visitNow(path, parent.floor) ?? (await this.#visit(path, parent.floor))
      if (found.node !== undefined) page.push(found.node)
      const isDirectory = found.node?.entry.type === 'dir'
      this.#open.push({ path, floor: isDirectory ? found.floor : Number.POSITIVE_INFINITY })
      if (!this.#isDeep) await this.#skipBelow(path)
    }
    return page
  }

  async #skipBelow(path: LayerPath): Promise<void> {
    for (const cursor of this.#cursors) {
      if (!isBelow(cursor.current?.path ?? '', path)) continue
      await cursor.skipBelow(path)
      this.#first = undefined
    }
  }

  #leastPath(): LayerPath | undefined {
    const current = this.#first?.current
    if (
      current !== undefined &&
      (this.#limit === undefined || comparePaths(current.path, this.#limit) < 0)
    ) {
      return current.path
    }
    this.#cursors = this.#cursors.filter((cursor) => cursor.current !== undefined)
    const paths = this.#cursors.map((cursor) => cursor.current?.path ?? '')
    const [least, limit] = paths.toSorted(comparePaths)
    this.#first = this.#cursors[paths.indexOf(least ?? '')]
    this.#limit = limit
    return least
  }

  /** The last path that was passed above `path`. */
  #parentOf(path: LayerPath): OpenPath {
    for (;;) {
      const last = this.#open.at(-1)
      if (last === undefined) throw new RangeError(`${path} is not below where the walk began`)
      if (isBelow(path, last.path)) return last
      this.#open.pop()
    }
  }

  /** What is at `path`, where one entry of one layer tells all; undefined: `visit` does. */
  #visitNow(path: LayerPath, parentFloor: number): Found<E> | undefined {
    const cursor = this.#first
    const entry = cursor?.current
    if (cursor === undefined || entry?.path !== path || !isPlaced(entry)) return undefined
    if (cursor.layer < parentFloor || isAtOrBelow(this.#limit, path)) return undefined
    const { following } = cursor
    // What is below a file makes it a directory.
    const isEasy =
      entry.type === 'dir' ? following?.path !== path : !isAtOrBelow(following?.path, path)
    if (following === undefined || !isEasy) return undefined
    cursor.pass()
    const floor = entry.type === 'dir' ? parentFloor : cursor.layer + 1
    return { node: this.#placed(entry, cursor.layer), floor }
  }

  /** Passes the entries at `path`. */
  async #visit(path: LayerPath, parentFloor: number): Promise<Found<E>> {
    const found: Found<E> = { node: undefined, floor: parentFloor }
    for (const cursor of this.#cursors) {
      const own: E[] = []
      for (let entry = cursor.current; entry?.path === path; entry = cursor.current) {
        own.push(entry)
        cursor.pass()
        await cursor.fill()
      }
      if (cursor.layer >= parentFloor) await this.#addLayer(path, cursor, own, found)
    }
    this.#first = undefined
    return found
  }

  #placed(entry: TreeEntry<E>, layer: number): WalkedNode<E> {
    const isLinked = this.#links.get(layer)?.mayHave(entry.path) ?? false
    return { path: entry.path, entry, layer, source: entry.path, isLinked }
  }

  async #addLayer(
    path: LayerPath,
    cursor: EntryCursor<E>,
    own: readonly E[],
    found: Found<E>,
  ): Promise<void> {
    const { layer } = cursor
    if (own.some(isWhiteout)) Object.assign(found, { node: undefined, floor: layer })
    const node = await this.#nodeOf(own, layer)
    if (node?.entry.type === 'dir') {
      found.node = node
    } else if (
      (node !== undefined || found.node?.entry.type !== 'dir') &&
      isAtOrBelow(cursor.current?.path, path) &&
      (await cursor.hasFileBelow(path))
    ) {
      // A layer that has `a/b` makes `a` a directory even where a lower one, or itself, has a file.
      const entry = impliedDirectory(path)
      if (found.node !== undefined || node !== undefined) found.floor = layer
      found.node = { path, entry, layer, source: path, isLinked: false }
    } else if (node !== undefined) {
      found.node = node
      found.floor = layer + 1
    }
    if (own.some(isOpaque)) found.floor = layer
  }

  async #nodeOf(own: readonly E[], layer: number): Promise<WalkedNode<E> | undefined> {
    for (const entry of own) {
      if (isPlaced(entry)) return this.#placed(entry, layer)
      if (!isLink(entry)) continue
      const file = await this.#links.get(layer)?.find(entry.target)
      // A link to nothing is no file: whoever unpacks the layer refuses it.
      if (file?.entry === undefined || file.entry.type === 'dir') return undefined
      const { path } = entry
      return { path, entry: { ...file.entry, path }, layer, source: file.source, isLinked: true }
    }
    return undefined
  }
}

/** The path right below `directory` on the way to `path`. */
function childTowards(path: LayerPath, directory: LayerPath): LayerPath {
  const slash = path.indexOf('/', directory === '' ? 0 : directory.length + 1)
  return slash < 0 ? path : path.slice(0, slash)
}
