import type { DiffEntry } from '../snapshotter.ts'
import type { LayerPath } from './entry.ts'
import { type EntryPages, isMark, type LayerIndex } from './layer-index.ts'

export interface IndexedPages<E extends DiffEntry> {
  readonly pages: EntryPages<E>
  /** Of these pages. */
  readonly index: Pick<LayerIndex<E>, 'position'>
}

/** No name has a lesser one: what is below a path is before the path with this behind it, and all else behind. */
const LEAST_UNIT = '\u0001'

/** Reads what a layer has below a path, in its order; a page of it is in memory. */
export class EntryCursor<E extends DiffEntry> {
  /** Index of the layer. */
  readonly layer: number
  readonly #pages: EntryPages<E>
  readonly #finder: Pick<LayerIndex<E>, 'position'>
  readonly #root: LayerPath
  #index = 0
  #page: readonly E[] = []
  #at = 0

  private constructor(layer: number, { pages, index }: IndexedPages<E>, root: LayerPath) {
    this.layer = layer
    this.#pages = pages
    this.#finder = index
    this.#root = root
  }

  static async open<E extends DiffEntry>(
    layer: number,
    indexed: IndexedPages<E>,
    root: LayerPath,
  ): Promise<EntryCursor<E>> {
    const cursor = new EntryCursor(layer, indexed, root)
    await cursor.#goTo(root)
    while (cursor.current?.path === root) {
      cursor.pass()
      await cursor.fill()
    }
    return cursor
  }

  /** Undefined at the end. */
  get current(): E | undefined {
    const entry = this.#page[this.#at]
    return isAtOrBelow(entry?.path, this.#root) ? entry : undefined
  }

  /** What comes after `current` on its page. */
  get following(): E | undefined {
    return this.#page[this.#at + 1]
  }

  /** Where there is no `following`, `fill` is to be called. */
  pass(): void {
    this.#at += 1
  }

  async fill(): Promise<void> {
    while (this.#at >= this.#page.length && this.#index < this.#pages.count) {
      this.#index += 1
      this.#page = this.#index < this.#pages.count ? await this.#pages.page(this.#index) : []
      this.#at = 0
    }
  }

  /** Passes what is below `path`; of what is more than a page it reads the ends. */
  async skipBelow(path: LayerPath): Promise<void> {
    while (this.current !== undefined && isBelow(this.current.path, path)) {
      if (isBelow(this.#page.at(-1)?.path ?? '', path)) {
        await this.#goTo(`${path}${LEAST_UNIT}`)
      } else {
        this.pass()
      }
    }
  }

  /** To the first entry that is not before `path`. */
  async #goTo(path: LayerPath): Promise<void> {
    const { page, at } = await this.#finder.position(path)
    this.#index = page
    this.#page = page < this.#pages.count ? await this.#pages.page(page) : []
    this.#at = at
    await this.fill()
  }

  /** Whether what comes is below `path`, marks aside. */
  async hasFileBelow(path: LayerPath): Promise<boolean> {
    let page = this.#page
    let at = this.#at
    for (let index = this.#index; index < this.#pages.count; ) {
      for (; at < page.length; at += 1) {
        const entry = page[at]
        if (entry === undefined || !isBelow(entry.path, path)) return false
        if (!isMark(entry)) return true
      }
      index += 1
      page = index < this.#pages.count ? await this.#pages.page(index) : []
      at = 0
    }
    return false
  }
}

/** Whether `path` is below `directory`; '' is the root. */
export function isBelow(path: LayerPath, directory: LayerPath): boolean {
  if (directory === '') return path !== ''
  return path.charCodeAt(directory.length) === SLASH && path.startsWith(directory)
}

const SLASH = 0x2f

/** The same with `directory` itself. */
export function isAtOrBelow(path: LayerPath | undefined, directory: LayerPath): boolean {
  return path !== undefined && (path === directory || isBelow(path, directory))
}
