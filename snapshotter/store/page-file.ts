import { rm } from 'node:fs/promises'
import { deserialize, serialize } from 'node:v8'
import { NamedFile } from './named-file.ts'

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
  #file: NamedFile | undefined
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
    await this.#write(await this.#makeFile(), page)
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
    await this.#file[Symbol.asyncDispose]()
    await rm(this.#file.path, { force: true })
  }

  async #makeFile(): Promise<NamedFile> {
    if (this.#file !== undefined) return this.#file
    this.#file = await NamedFile.create('a list', this.#newFile())
    const held = this.#held
    this.#held = []
    for (const page of held) await this.#write(this.#file, page)
    return this.#file
  }

  async #write(file: NamedFile, page: readonly T[]): Promise<void> {
    const bytes = serialize(this.#codec.encode(page))
    const place = { position: this.#end, length: bytes.length }
    this.#end += bytes.length
    await file.writeAt(place.position, bytes)
    this.#places.push(place)
  }

  /** Undefined where there is no file, or no such page. */
  async #read(index: number): Promise<Encoded | undefined> {
    const place = this.#places[index]
    if (this.#file === undefined || place === undefined) return undefined
    const bytes = await this.#file.readAt(place.position, place.length)
    // What `encode` made.
    return deserialize(bytes) as Encoded
  }
}
