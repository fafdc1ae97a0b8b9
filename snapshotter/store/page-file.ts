import { type FileHandle, open, rm } from 'node:fs/promises'
import { deserialize, serialize } from 'node:v8'
import { readFailure, writeFailure } from './errors.ts'

/** Items of a page: also how many cross a process boundary or the addon's at a time. */
const PAGE_LENGTH = 512

/** How a page is written; `deserialize` of node:v8 gives what `encode` made. */
export interface PageCodec<T, Encoded> {
  encode(items: readonly T[]): Encoded
  decode(encoded: Encoded): readonly T[]
}

interface Place {
  readonly position: number
  readonly length: number
}

/**
 * A list that is never in memory as a whole: written once, read page by page as often as somebody asks. It has a file of this
 * process from when it is longer than a page: most lists are short. Disposing removes the file.
 */
export class PageFile<T, Encoded = unknown> implements AsyncDisposable {
  readonly #newFile: () => string
  readonly #codec: PageCodec<T, Encoded>
  /** The pages, until there is a file. */
  #held: (readonly T[])[] = []
  #file: { readonly path: string; readonly handle: FileHandle } | undefined
  readonly #places: Place[] = []
  #pending: T[] = []
  #end = 0
  #count = 0

  /** `newFile` gives a path where there is nothing; called once at most. */
  constructor(newFile: () => string, codec: PageCodec<T, Encoded>) {
    this.#newFile = newFile
    this.#codec = codec
  }

  /** Items in the pages that can be read. */
  get count(): number {
    return this.#count
  }

  get pageCount(): number {
    return this.#file === undefined ? this.#held.length : this.#places.length
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
    const page = this.#pending
    this.#pending = []
    this.#count += page.length
    if (this.#file === undefined && this.#count <= PAGE_LENGTH) {
      this.#held.push(page)
      return
    }
    await this.#makeFile()
    await this.#write(page)
  }

  async page(index: number): Promise<readonly T[]> {
    const encoded = await this.#read(index)
    return encoded === undefined ? (this.#held[index] ?? []) : this.#codec.decode(encoded)
  }

  /** All, or those of some pages. */
  async *pages(first = 0, end: number = this.pageCount): AsyncGenerator<readonly T[]> {
    for (let index = first; index < end; index += 1) yield await this.page(index)
  }

  /** All pages, as they are written where there is a file. */
  protected async *encodedPages(): AsyncGenerator<readonly T[] | Encoded> {
    for (let index = 0; index < this.pageCount; index += 1) {
      yield (await this.#read(index)) ?? this.#held[index] ?? []
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#file === undefined) return
    await this.#file.handle.close()
    await rm(this.#file.path, { force: true })
  }

  async #makeFile(): Promise<void> {
    if (this.#file !== undefined) return
    const path = this.#newFile()
    this.#file = { path, handle: await open(path, 'wx+', 0o600) }
    const held = this.#held
    this.#held = []
    for (const page of held) await this.#write(page)
  }

  async #write(page: readonly T[]): Promise<void> {
    const bytes = serialize(this.#codec.encode(page))
    const place = { position: this.#end, length: bytes.length }
    this.#end += bytes.length
    await this.#writeAll(bytes, place.position)
    this.#places.push(place)
  }

  async #writeAll(bytes: Buffer, position: number): Promise<void> {
    if (this.#file === undefined) return
    const { handle, path } = this.#file
    try {
      for (let done = 0; done < bytes.length; ) {
        const rest = bytes.length - done
        done += (await handle.write(bytes, done, rest, position + done)).bytesWritten
      }
    } catch (error) {
      throw writeFailure('a list', path, error)
    }
  }

  /** Undefined where there is no file, or no such page. */
  async #read(index: number): Promise<Encoded | undefined> {
    const place = this.#places[index]
    if (this.#file === undefined || place === undefined) return undefined
    const bytes = Buffer.allocUnsafe(place.length)
    const { handle, path } = this.#file
    try {
      await handle.read(bytes, 0, place.length, place.position)
    } catch (error) {
      throw readFailure('a list', path, error)
    }
    // What `encode` made.
    return deserialize(bytes) as Encoded
  }
}
