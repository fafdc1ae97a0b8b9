import { type FileHandle, open } from 'node:fs/promises'
import { checkContentsEnds, damagedContents, parseContentsBatch } from './contents.ts'
import type { LayerEntry } from './entry.ts'
import type { EntryPages } from './layer-index.ts'

const READ_BYTES = 1 << 20
const NEWLINE = 10

/**
 * A table of contents a page at a time: only where its lines begin is held. Errors: `contents-damaged`, on opening for
 * what does not begin or end as a table does, later for lines that hold no entries.
 */
export class ContentsPages implements EntryPages {
  readonly #path: string
  /** Of the lines with entries, and the end of the last one. */
  readonly #starts: readonly number[]

  private constructor(path: string, starts: readonly number[]) {
    this.#path = path
    this.#starts = starts
  }

  static async open(path: string): Promise<ContentsPages> {
    await using file = await open(path, 'r')
    const starts = await lineStarts(file)
    const end = starts.at(-1) ?? 0
    const { size } = await file.stat()
    if (end !== size || starts.length < 3) throw damagedContents(path, 'it is cut short')
    const [first, last] = [starts[1] ?? 0, starts.at(-2) ?? 0]
    checkContentsEnds(path, await readText(file, 0, first), await readText(file, last, end))
    return new ContentsPages(path, starts.slice(1, -1))
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

/** Where lines begin; the last number is where the last whole line ends. */
async function lineStarts(file: FileHandle): Promise<number[]> {
  const starts = [0]
  const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, (await file.stat()).size + 1))
  for (let at = 0; ; ) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length, at)
    if (bytesRead === 0) return starts
    const read = chunk.subarray(0, bytesRead)
    for (let end = read.indexOf(NEWLINE); end >= 0; end = read.indexOf(NEWLINE, end + 1)) {
      starts.push(at + end + 1)
    }
    at += bytesRead
  }
}

async function readText(file: FileHandle, start: number, end: number): Promise<string> {
  const bytes = Buffer.allocUnsafe(end - start)
  const { bytesRead } = await file.read(bytes, 0, bytes.length, start)
  return bytes.toString('utf8', 0, bytesRead)
}
