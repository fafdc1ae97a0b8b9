import {
  comparePaths,
  DisposableScope,
  errnoOf,
  type LayerPath,
  NamedFile,
} from '../../snapshotter/index.ts'
import {
  blockBytes,
  decodeBlock,
  encodeBlock,
  type StatBlock,
  type StatRecord,
} from './stat-block.ts'

/** First bytes of the file; another version is another name, so old files are ignored, not misread. */
const MAGIC = Buffer.from('tsbuild stat cache 2\n')
const HEADER_BYTES = 8
const WHAT = 'a cache of digests'
const BLOCK_BYTES_MAX = 64 << 20

export const ENTRIES_PER_BLOCK = 4096

interface Place {
  readonly position: number
  readonly length: number
  first: LayerPath | undefined
}

/** Where a record is: which block, and which of its entries. */
export interface StatPlace {
  readonly block: StatBlock
  readonly blockIndex: number
  readonly index: number
}

/**
 * A file of records, sorted by path, in blocks: one block is in memory at a time. What is damaged, and what comes after it,
 * is not there.
 */
export class StatBlocks implements AsyncDisposable {
  readonly #file: NamedFile
  readonly #places: Place[]
  #end: number
  #last: LayerPath | undefined
  #held: { readonly index: number; readonly block: StatBlock | undefined } | undefined

  private constructor(file: NamedFile, places: Place[], end: number) {
    this.#file = file
    this.#places = places
    this.#end = end
  }

  /** Undefined when there is no file, or one of another version. */
  static async open(path: string): Promise<StatBlocks | undefined> {
    let file: NamedFile
    try {
      file = await NamedFile.open(WHAT, path)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') {
        return undefined
      }
      throw error
    }
    await using opened = new DisposableScope()
    opened.use(file)
    const { places, end } = await findBlocks(file)
    if (places.length === 0) {
      return undefined
    }
    opened.release()
    return new StatBlocks(file, places, end)
  }

  /** Makes a new file. */
  static async create(path: string): Promise<StatBlocks> {
    await using made = new DisposableScope()
    const file = made.use(await NamedFile.create(WHAT, path))
    await file.writeAt(0, MAGIC)
    made.release()
    return new StatBlocks(file, [], MAGIC.length)
  }

  /** Whether records from `path` on come after all that is there. */
  endsBefore(path: LayerPath): boolean {
    return this.#last === undefined || comparePaths(this.#last, path) < 0
  }

  /** Adds a block: `records` are sorted, and come after all that is there. */
  async append(records: readonly StatRecord[]): Promise<void> {
    const bytes = encodeBlock(records)
    await this.#file.writeAt(this.#end, bytes)
    this.#places.push({ position: this.#end, length: bytes.length, first: undefined })
    this.#end += bytes.length
    this.#last = records.at(-1)?.stat.path
  }

  async find(path: LayerPath): Promise<StatPlace | undefined> {
    if (this.#last !== undefined && comparePaths(this.#last, path) < 0) {
      return undefined
    }
    const held = this.findHeld(path)
    if (held !== undefined) {
      return held
    }
    const blockIndex = await this.#blockOf(path)
    const block = blockIndex < 0 ? undefined : await this.block(blockIndex)
    const index = block?.indexOf(path) ?? -1
    return block === undefined || index < 0 ? undefined : { block, blockIndex, index }
  }

  /** As `find`, in the block that was read last; without waiting. */
  findHeld(path: LayerPath): StatPlace | undefined {
    const { block, index: blockIndex = 0 } = this.#held ?? {}
    const index = block?.indexOf(path) ?? -1
    return block === undefined || index < 0 ? undefined : { block, blockIndex, index }
  }

  async block(index: number): Promise<StatBlock | undefined> {
    if (this.#held?.index === index) {
      return this.#held.block
    }
    const place = this.#places[index]
    if (place === undefined) {
      return undefined
    }
    const block = decodeBlock(await readAt(this.#file, place.position, place.length))
    place.first = alone(block?.paths[0])
    this.#held = { index, block }
    return block
  }

  /** All records that `keeps` wants, in their order, up to the first block that is damaged. */
  async *records(
    keeps: (place: StatPlace) => boolean = () => true,
  ): AsyncGenerator<readonly StatRecord[]> {
    for (let blockIndex = 0; blockIndex < this.#places.length; blockIndex += 1) {
      const block = await this.block(blockIndex)
      if (block === undefined) {
        return
      }
      yield Array.from(block.paths.keys()).flatMap((index) =>
        keeps({ block, blockIndex, index }) ? (block.record(index) ?? []) : [],
      )
    }
  }

  async sync(): Promise<void> {
    await this.#file.sync()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]()
  }

  /** The last block that begins at or before `path`; -1 when there is none. */
  async #blockOf(path: LayerPath): Promise<number> {
    let low = 0
    let high = this.#places.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const first = this.#places[middle]?.first ?? (await this.block(middle))?.paths[0]
      if (first !== undefined && comparePaths(first, path) <= 0) {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low - 1
  }
}

/** A path as a string of its own: it is a part of the string of all paths of its block, which would be held with it. */
function alone(path: LayerPath | undefined): LayerPath | undefined {
  return path === undefined ? undefined : Buffer.from(path, 'utf16le').toString('utf16le')
}

async function findBlocks(file: NamedFile): Promise<{ places: Place[]; end: number }> {
  const places: Place[] = []
  let position = MAGIC.length
  const size = await file.sizeBytes()
  if (!(await readAt(file, 0, MAGIC.length)).equals(MAGIC)) {
    return { places, end: 0 }
  }
  for (;;) {
    const length = blockBytes(await readAt(file, position, HEADER_BYTES))
    if (length === undefined || length > BLOCK_BYTES_MAX || position + length > size) {
      return { places, end: position }
    }
    places.push({ position, length, first: undefined })
    position += length
  }
}

/** What the disk does not give is as good as damaged. */
async function readAt(file: NamedFile, position: number, length: number): Promise<Buffer> {
  try {
    return await file.readAt(position, length)
  } catch (error) {
    if (errnoOf(error) === 'EIO') return Buffer.alloc(0)
    throw error
  }
}
