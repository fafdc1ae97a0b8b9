import type { NamedFile } from '../store/named-file.ts'
import { checkContentsEnds, damagedContents, openContents, parseContentsBatch } from './contents.ts'
import type { LayerEntry } from './entry.ts'
import type { EntryPages } from './layer-index.ts'

const NEWLINE = 10
/** How a hardlink begins; in no string of JSON, where a quote has a backslash before it. */
const LINK = '["h",'

/**
 * A table of contents a page at a time: only where its lines begin is held. Errors: `contents-damaged`, on opening for
 * what does not begin or end as a table does, later for lines that hold no entries.
 */
export class ContentsPages implements EntryPages<LayerEntry> {
  readonly #path: string
  /** Of the lines with entries, and the end of the last one. */
  readonly #starts: readonly number[]
  /** Whether there are hardlinks in it. */
  readonly hasLinks: boolean

  private constructor(path: string, { starts, hasLinks }: Lines) {
    this.#path = path
    this.#starts = starts
    this.hasLinks = hasLinks
  }

  static async open(path: string): Promise<ContentsPages> {
    await using file = await openContents(path)
    const { starts, hasLinks } = await readLines(file)
    const end = starts.at(-1) ?? 0
    if (end !== (await file.sizeBytes()) || starts.length < 3)
      throw damagedContents(path, 'it is cut short')
    const [first, last] = [starts[1] ?? 0, starts.at(-2) ?? 0]
    checkContentsEnds(path, await textOf(file, 0, first), await textOf(file, last, end))
    return new ContentsPages(path, { starts: starts.slice(1, -1), hasLinks })
  }

  get count(): number {
    return this.#starts.length - 1
  }

  async page(index: number): Promise<readonly LayerEntry[]> {
    await using file = await openContents(this.#path)
    const [start, end] = [this.#starts[index] ?? 0, this.#starts[index + 1] ?? 0]
    return parseContentsBatch(this.#path, await textOf(file, start, end))
  }
}

interface Lines {
  /** Where they begin; the last number is where the last whole line ends. */
  readonly starts: readonly number[]
  readonly hasLinks: boolean
}

async function readLines(file: NamedFile): Promise<Lines> {
  const starts = [0]
  let hasLinks = false
  let tail = ''
  let at = 0
  for await (const read of file.pieces()) {
    for (let end = read.indexOf(NEWLINE); end >= 0; end = read.indexOf(NEWLINE, end + 1)) {
      starts.push(at + end + 1)
    }
    // What begins a link may lie across two chunks.
    hasLinks ||=
      read.includes(LINK) || (tail + read.toString('latin1', 0, LINK.length)).includes(LINK)
    tail = read.toString('latin1', Math.max(0, read.length - LINK.length))
    at += read.length
  }
  return { starts, hasLinks }
}

async function textOf(file: NamedFile, start: number, end: number): Promise<string> {
  return (await file.readAt(start, end - start)).toString('utf8')
}
