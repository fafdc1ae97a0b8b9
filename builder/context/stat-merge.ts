import { comparePaths } from '../../snapshotter/index.ts'
import type { StatRecord } from './stat-block.ts'

/** A list that is sorted by path, a page at a time. */
export type RecordPages = AsyncIterable<readonly StatRecord[]>

/** Merges lists into pages of this length; of records of one path that of the first list is given. */
export async function* mergeRecords(
  lists: readonly RecordPages[],
  pageLength: number,
): AsyncGenerator<readonly StatRecord[]> {
  const cursors = lists.map((list) => new Cursor(list))
  let page: StatRecord[] = []
  for (;;) {
    for (const cursor of cursors) {
      // Waiting for each of 50,000 records would take longer than all the rest.
      if (cursor.isAtPageEnd) {
        await cursor.nextPage()
      }
    }
    const least = leastOf(cursors)
    if (least !== undefined) {
      page.push(least)
    }
    if (page.length === pageLength || least === undefined) {
      yield page
      page = []
    }
    if (least === undefined) {
      return
    }
    for (const cursor of cursors) {
      cursor.pass(least)
    }
  }
}

function leastOf(cursors: readonly Cursor[]): StatRecord | undefined {
  let least: StatRecord | undefined
  for (const { current } of cursors) {
    if (current !== undefined && (least === undefined || isBefore(current, least))) {
      least = current
    }
  }
  return least
}

function isBefore(a: StatRecord, b: StatRecord): boolean {
  return comparePaths(a.stat.path, b.stat.path) < 0
}

class Cursor {
  readonly #pages: AsyncIterator<readonly StatRecord[]>
  #page: readonly StatRecord[] = []
  #at = 0
  #isEnded = false

  constructor(list: RecordPages) {
    this.#pages = list[Symbol.asyncIterator]()
  }

  get current(): StatRecord | undefined {
    return this.#page[this.#at]
  }

  get isAtPageEnd(): boolean {
    return this.#at >= this.#page.length && !this.#isEnded
  }

  async nextPage(): Promise<void> {
    while (this.isAtPageEnd) {
      const next = await this.#pages.next()
      this.#isEnded = next.done === true
      this.#page = next.done === true ? [] : next.value
      this.#at = 0
    }
  }

  pass(record: StatRecord): void {
    if (this.current?.stat.path === record.stat.path) {
      this.#at += 1
    }
  }
}
