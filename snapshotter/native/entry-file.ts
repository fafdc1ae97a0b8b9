import { open } from 'node:fs/promises'
import { PageFile } from '../store/page-file.ts'
import type { PackEntry } from './kernel-types.ts'
import { decodePackEntries, encodePackEntries, type PackColumns } from './pack-columns.ts'

const CODEC = {
  encode: encodePackEntries,
  decode: (value: unknown): PackEntry[] => decodePackEntries(value as PackColumns),
}

/** Entries to pack, in the form in which the addon takes them: that costs little to write and to read. */
export class EntryFile extends PageFile<PackEntry> {
  readonly #roots = new Set<string>()
  #sizeBytes = 0

  /** A file at `path`, which must not exist, of the entries in these pages. */
  static async of(
    path: string,
    pages: AsyncIterable<readonly PackEntry[]> | Iterable<readonly PackEntry[]>,
  ): Promise<EntryFile> {
    const file = new EntryFile(path, await open(path, 'wx+', 0o600), CODEC)
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

  override async add(entries: readonly PackEntry[]): Promise<void> {
    for (const entry of entries) {
      if (entry.type !== 'file') continue
      this.#sizeBytes += entry.sizeBytes
      if (entry.source.kind === 'path') this.#roots.add(entry.source.root)
    }
    await super.add(entries)
  }
}
