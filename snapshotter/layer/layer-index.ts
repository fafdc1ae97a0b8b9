import type { DiffEntry } from '../snapshotter.ts'
import type { LayerPath } from './entry.ts'
import { comparePaths } from './order.ts'
import { isLink, isPlaced, type TreeEntry } from './tree.ts'

/** A layer's entries in the order of tables of contents, a page at a time. */
export interface EntryPages<E extends DiffEntry = DiffEntry> {
  readonly count: number
  page(index: number): Promise<readonly E[]>
}

/** What one layer says of a path. */
export interface LayerFinding<E extends DiffEntry = DiffEntry> {
  /** A hardlink has the entry of the file that it names, with the link's own path. */
  readonly entry: TreeEntry<E> | undefined
  /** Path of the bytes in the layer's directory. */
  readonly source: LayerPath
  /** Lower layers have nothing there. */
  readonly isWhiteout: boolean
  /** Lower layers have nothing below it. */
  readonly isOpaque: boolean
  /** The layer has something below the path, so that there is a directory even when no entry says so. */
  readonly hasBelow: boolean
  /** As `hasBelow`, or the layer takes away something below it. */
  readonly concernsBelow: boolean
}

/** Answers for one layer. */
export interface LayerFinder<E extends DiffEntry = DiffEntry> {
  find(path: LayerPath): Promise<LayerFinding<E>>
}

/** Pages held at a time; whoever asks path after path asks in order. */
const PAGES_MAX = 2
/** A chain of hardlinks is no longer in any layer that a program wrote. */
const LINKS_MAX = 40

/**
 * Finds paths in a layer without holding its entries: as many pages are read as a search by halves takes, and a page
 * costs a fraction of a millisecond. 200 layers, or one with a million files, cost a few pages each.
 */
export class LayerIndex<E extends DiffEntry = DiffEntry> implements LayerFinder<E> {
  readonly #pages: EntryPages<E>
  readonly #firstPaths: (LayerPath | undefined)[] = []
  readonly #held = new Map<number, readonly E[]>()

  constructor(pages: EntryPages<E>) {
    this.#pages = pages
  }

  /** All of `entries`, which are in order. */
  static of(entries: readonly DiffEntry[]): LayerIndex {
    return new LayerIndex({ count: 1, page: () => Promise.resolve(entries) })
  }

  /** Where the first entry that is not before `path` is, or the end of the last page before it. */
  async position(path: LayerPath): Promise<{ readonly page: number; readonly at: number }> {
    const page = await this.#lastPageBefore(path)
    return { page, at: lowerBound(await this.#page(page), path) }
  }

  async find(path: LayerPath): Promise<LayerFinding<E>> {
    return await this.#find(path, LINKS_MAX)
  }

  async #find(path: LayerPath, linksLeft: number): Promise<LayerFinding<E>> {
    const { entries, hasBelow, concernsBelow } = await this.#entriesAt(path)
    const own = entries.find((entry) => !isMark(entry))
    const target = await this.#followed(own, linksLeft)
    return {
      entry: target?.entry,
      source: target?.source ?? path,
      isWhiteout: entries.some(({ type }) => type === 'whiteout'),
      isOpaque: entries.some(({ type }) => type === 'opaque'),
      hasBelow,
      concernsBelow,
    }
  }

  /** A link to nothing is no file: whoever unpacks the layer refuses it. */
  async #followed(
    entry: E | undefined,
    linksLeft: number,
  ): Promise<{ entry: TreeEntry<E>; source: LayerPath } | undefined> {
    if (entry === undefined) return undefined
    if (isPlaced(entry)) return { entry, source: entry.path }
    if (!isLink(entry) || linksLeft === 0) return undefined
    const found = await this.#find(entry.target, linksLeft - 1)
    if (found.entry === undefined || found.entry.type === 'dir') return undefined
    return { entry: { ...found.entry, path: entry.path }, source: found.source }
  }

  /** The entry at `path` with its marks, and what there is below it. */
  async #entriesAt(
    path: LayerPath,
  ): Promise<{ entries: E[] } & Pick<LayerFinding, 'hasBelow' | 'concernsBelow'>> {
    const entries: E[] = []
    let concernsBelow = false
    for await (const entry of this.#entriesFrom(path)) {
      if (entry.path === path) {
        entries.push(entry)
        continue
      }
      if (path !== '' && !entry.path.startsWith(`${path}/`)) break
      concernsBelow = true
      if (!isMark(entry)) return { entries, hasBelow: true, concernsBelow }
    }
    return { entries, hasBelow: false, concernsBelow }
  }

  /** The entries from `path` on. */
  async *#entriesFrom(path: LayerPath): AsyncGenerator<E> {
    const start = await this.#lastPageBefore(path)
    for (let index = start; index < this.#pages.count; index += 1) {
      const page = await this.#page(index)
      for (let at = lowerBound(page, path); at < page.length; at += 1) {
        const entry = page[at]
        if (entry !== undefined) yield entry
      }
    }
  }

  /** The last page that begins before `path`: marks and entry of one path may lie on two pages. */
  async #lastPageBefore(path: LayerPath): Promise<number> {
    let low = 0
    let high = this.#pages.count - 1
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (comparePaths(await this.#firstPath(middle), path) < 0) low = middle
      else high = middle - 1
    }
    return low
  }

  async #firstPath(index: number): Promise<LayerPath> {
    const first = this.#firstPaths[index] ?? (await this.#page(index))[0]?.path ?? ''
    this.#firstPaths[index] = first
    return first
  }

  async #page(index: number): Promise<readonly E[]> {
    const held = this.#held.get(index)
    if (held !== undefined) return held
    const page = await this.#pages.page(index)
    this.#held.set(index, page)
    for (const oldest of [...this.#held.keys()].slice(0, -PAGES_MAX)) this.#held.delete(oldest)
    return page
  }
}

export function isMark(entry: DiffEntry): boolean {
  return entry.type === 'whiteout' || entry.type === 'opaque'
}

/** Index of the first entry that is not before `path`. */
function lowerBound(entries: readonly DiffEntry[], path: LayerPath): number {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >> 1
    const entry = entries[middle]
    if (entry !== undefined && comparePaths(entry.path, path) < 0) low = middle + 1
    else high = middle
  }
  return low
}
