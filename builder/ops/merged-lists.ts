import { comparePaths, type LayerPath } from '../../snapshotter/index.ts'
import type { SelectedItem } from './selection-file.ts'

export interface ListItem {
  readonly entry: { readonly path: LayerPath }
}

/** A list that is sorted by path. */
export type ItemPages<I extends ListItem = SelectedItem> = AsyncIterable<readonly I[]>

/** What one list has at a path. */
export type Contribution<I extends ListItem = SelectedItem> = I & {
  /** Which one, from 0. */
  readonly list: number
}

/** Reads several lists in the order of their paths; a page of each is in memory. */
export class MergedLists<I extends ListItem = SelectedItem> {
  /** Those that have a current item, the least one last. */
  readonly #ready: Cursor<I>[] = []
  /** Those whose page is at its end. */
  #spent: Cursor<I>[]
  #next: readonly Contribution<I>[] | undefined

  constructor(lists: readonly ItemPages<I>[]) {
    this.#spent = lists.map((pages, list) => new Cursor(pages, list))
  }

  /** What there is at the least path, in the order of the lists; undefined: only `peek` can tell. */
  peekNow(): readonly Contribution<I>[] | undefined {
    if (this.#next === undefined && this.#spent.length === 0) {
      this.#next = this.#take()
    }
    return this.#next
  }

  /** As `peekNow`; empty when all lists are at their end. */
  async peek(): Promise<readonly Contribution<I>[]> {
    if (this.#next === undefined) {
      for (const cursor of this.#spent.splice(0)) {
        if (await cursor.nextPage()) {
          this.#insert(cursor)
        }
      }
      this.#next = this.#take()
    }
    return this.#next
  }

  /** Goes on to the next path. */
  pass(): void {
    this.#next = undefined
  }

  #take(): readonly Contribution<I>[] {
    const taken: Contribution<I>[] = []
    for (;;) {
      const cursor = this.#ready.at(-1)
      const item = cursor?.current
      if (cursor === undefined || item === undefined) {
        return taken
      }
      if (taken[0] !== undefined && item.entry.path !== taken[0].entry.path) {
        return taken
      }
      taken.push({ ...item, list: cursor.list })
      this.#ready.pop()
      if (cursor.advance()) {
        this.#insert(cursor)
      } else {
        this.#spent.push(cursor)
      }
    }
  }

  #insert(cursor: Cursor<I>): void {
    let at = this.#ready.length
    while (at > 0 && isBefore(this.#ready[at - 1], cursor)) {
      at -= 1
    }
    this.#ready.splice(at, 0, cursor)
  }
}

/** Of two at one path that of the earlier list comes first. */
function isBefore<I extends ListItem>(a: Cursor<I> | undefined, b: Cursor<I>): boolean {
  const [left, right] = [a?.current, b.current]
  if (a === undefined || left === undefined || right === undefined) {
    return false
  }
  return (comparePaths(left.entry.path, right.entry.path) || a.list - b.list) < 0
}

class Cursor<I extends ListItem> {
  readonly list: number
  readonly #pages: AsyncIterator<readonly I[]>
  #page: readonly I[] = []
  #at = 0

  constructor(pages: ItemPages<I>, list: number) {
    this.#pages = pages[Symbol.asyncIterator]()
    this.list = list
  }

  get current(): I | undefined {
    return this.#page[this.#at]
  }

  /** False at the end of the page. */
  advance(): boolean {
    this.#at += 1
    return this.#at < this.#page.length
  }

  /** False at the end of the list. */
  async nextPage(): Promise<boolean> {
    for (;;) {
      const { done, value } = await this.#pages.next()
      if (done === true) {
        return false
      }
      this.#page = value
      this.#at = 0
      if (value.length > 0) {
        return true
      }
    }
  }
}
