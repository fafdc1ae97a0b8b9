import { type FileHandle, open, rm } from 'node:fs/promises'
import { deserialize, serialize } from 'node:v8'

/** Items of a page: also how many cross a process boundary or the addon's at a time. */
const PAGE_LENGTH = 512

/** How a page is written; `deserialize` of node:v8 gives what `encode` made. */
export interface PageCodec<T> {
  encode(items: readonly T[]): unknown
  decode(value: unknown): readonly T[]
}

interface Place {
  readonly position: number
  readonly length: number
}

/**
 * A list in a file of this process, so that it is never in memory as a whole: written once, read page by page as often as
 * somebody asks. Disposing removes the file.
 */
export class PageFile<T> implements AsyncDisposable {
  readonly #path: string
  readonly #file: FileHandle
  readonly #codec: PageCodec<T>
  readonly #places: Place[] = []
  #pending: T[] = []
  #end = 0
  #count = 0

  protected constructor(path: string, file: FileHandle, codec: PageCodec<T>) {
    this.#path = path
    this.#file = file
    this.#codec = codec
  }

  /** `path` must not exist. */
  static async create<T>(path: string, codec: PageCodec<T>): Promise<PageFile<T>> {
    return new PageFile(path, await open(path, 'wx+', 0o600), codec)
  }

  /** Items in the pages that can be read. */
  get count(): number {
    return this.#count
  }

  get pageCount(): number {
    return this.#places.length
  }

  async add(items: Iterable<T>): Promise<void> {
    for (const item of items) {
      this.#pending.push(item)
      if (this.#pending.length === PAGE_LENGTH) await this.endPage()
    }
  }

  /** What was added so far can be read; what follows begins a page. */
  async endPage(): Promise<void> {
    if (this.#pending.length === 0) return
    const bytes = serialize(this.#codec.encode(this.#pending))
    this.#count += this.#pending.length
    this.#pending = []
    const place = { position: this.#end, length: bytes.length }
    this.#end += bytes.length
    await writeAll(this.#file, bytes, place.position)
    this.#places.push(place)
  }

  async page(index: number): Promise<readonly T[]> {
    const place = this.#places[index]
    if (place === undefined) return []
    const bytes = Buffer.allocUnsafe(place.length)
    await this.#file.read(bytes, 0, place.length, place.position)
    return this.#codec.decode(deserialize(bytes))
  }

  /** All, or those of some pages. */
  async *pages(first = 0, end: number = this.pageCount): AsyncGenerator<readonly T[]> {
    for (let index = first; index < end; index += 1) yield await this.page(index)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
    await rm(this.#path, { force: true })
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}
