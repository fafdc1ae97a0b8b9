import { type FileHandle, open } from 'node:fs/promises'
import { checkContentsEnds, damagedContents, parseContentsBatch } from './contents.ts'
import type { LayerEntry } from './entry.ts'
import type { EntryPages } from './layer-index.ts'

const READ_BYTES = 1 << 20
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
    await using file = await open(path, 'r')
    const { starts, hasLinks } = await readLines(file)
    const end = starts.at(-1) ?? 0
    const { size } = await file.stat()
    if (end !== size || starts.length < 3) throw damagedContents(path, 'it is cut short')
    const [first, last] = [starts[1] ?? 0, starts.at(-2) ?? 0]
    checkContentsEnds(path, await readText(file, 0, first), await readText(file, last, end))
    return new ContentsPages(path, { starts: starts.slice(1, -1), hasLinks })
  }

  get count(): number {
    return this.#starts.length - 1
  }

  async page(index: number): Promise<readonly LayerEntry[]> {
    await using file = await open(this.#path, 'r')
    const [start, end] = [this.#starts[index] ?? 0, this.#starts[index + 1] ?? 0]
    return parseContentsBatch(this.#path, await readText(file, start, end))
  }
}

interface Lines {
  /** Where they begin; the last number is where the last whole line ends. */
  readonly starts: readonly number[]
  readonly hasLinks: boolean
}

async function readLines(file: FileHandle): Promise<Lines> {
  const starts = [0]
  let hasLinks = false
  let tail = ''
  const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, (await file.stat()).size + 1))
  for (let at = 0; ; ) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length, at)
    if (bytesRead === 0) return { starts, hasLinks }
    const read = chunk.subarray(0, bytesRead)
    for (let end = read.indexOf(NEWLINE); end >= 0; end = read.indexOf(NEWLINE, end + 1)) {
      starts.push(at + end + 1)
    }
    // What begins a link may lie across two chunks.
    hasLinks ||=
      read.includes(LINK) || (tail + read.toString('latin1', 0, LINK.length)).includes(LINK)
    tail = read.toString('latin1', Math.max(0, bytesRead - LINK.length))
    at += bytesRead
  }
}

async function readText(file: FileHandle, start: number, end: number): Promise<string> {
  const bytes = Buffer.allocUnsafe(end - start)
  const { bytesRead } = await file.read(bytes, 0, bytes.length, start)
  return bytes.toString('utf8', 0, bytesRead)
}
