import { PageFile } from '../store/page-file.ts'
import { checkPackEntry } from './check-arguments.ts'
import type { PackEntry, PackPage } from './kernel-types.ts'
import { decodePackEntries, encodePackEntries, type PackColumns } from './pack-columns.ts'

const CODEC = {
  encode: (entries: readonly PackEntry[]): PackColumns => {
    // Whoever gets a page in this form looks at no entry any more.
    for (const entry of entries) checkPackEntry(entry)
    return encodePackEntries(entries)
  },
  decode: decodePackEntries,
}

/** Entries to pack, in the form in which the addon takes them: that costs little to write and to read. */
export class EntryFile extends PageFile<PackEntry, PackColumns> {
  readonly #roots = new Set<string>()
  #sizeBytes = 0
  #hasOpaque = false

  /** `newFile` as in PageFile. */
  constructor(newFile: () => string) {
    super(newFile, CODEC)
  }

  /** A list of the entries in these pages. Nothing is left of it on failure. */
  static async of(
    newFile: () => string,
    pages: AsyncIterable<readonly PackEntry[]> | Iterable<readonly PackEntry[]>,
  ): Promise<EntryFile> {
    const file = new EntryFile(newFile)
    try {
      for await (const page of pages) await file.add(page)
      await file.endPage()
      return file
    } catch (error) {
      await file[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Host directories that files are read from. */
  get roots(): ReadonlySet<string> {
    return this.#roots
  }

  /** Of all files together. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Whether there is an opaque mark. */
  get hasOpaque(): boolean {
    return this.#hasOpaque
  }

  override async add(entries: readonly PackEntry[]): Promise<void> {
    for (const entry of entries) {
      this.#hasOpaque ||= entry.type === 'opaque'
      if (entry.type !== 'file') continue
      this.#sizeBytes += entry.sizeBytes
      if (entry.source.kind === 'path') this.#roots.add(entry.source.root)
    }
    await super.add(entries)
  }

  /** For a packer: as `pages`, without making entries of what is written. */
  packPages(): AsyncGenerator<PackPage> {
    return this.encodedPages()
  }
}
