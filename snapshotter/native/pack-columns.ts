import type { Digest } from '../../registry-client/oci/index.ts'
import type { EntryMetadata, LayerEntry } from '../layer/entry.ts'
import {
  DIGEST_LENGTH,
  type EntryType,
  joinList,
  splitList,
  TYPES,
  type Xattrs,
  xattrsByEntry,
} from './entry-columns.ts'
import type { PackEntry, PackSource } from './kernel-types.ts'

/** Entries on their way to the packer; see packItemsFromJs in src/pack-items.cc. */
export interface PackColumns {
  readonly numbers: Float64Array
  readonly paths: string
  readonly targets: string
  /** One for each file that is read from a path; the last number of its entry is the index of its root. */
  readonly sourcePaths: string
  readonly roots: string
  /** One for each file, empty when nothing is expected. */
  readonly expects: string
  /** One for each file whose bytes are given. */
  readonly contents: readonly Uint8Array[]
  readonly xattrs: readonly (number | string | Uint8Array)[]
}

const TYPE_CODES: ReadonlyMap<EntryType, number> = new Map(TYPES.map((type, code) => [type, code]))
const PACK_NUMBERS = 9

/** Entries to pack as the addon takes them. They have been checked before. */
export function encodePackEntries(entries: readonly PackEntry[]): PackColumns {
  const writer = new ColumnWriter(entries.length)
  for (const entry of entries) {
    writer.add(entry)
  }
  return writer.finish()
}

class ColumnWriter {
  readonly #numbers: Float64Array
  readonly #paths: string[] = []
  readonly #targets: string[] = []
  readonly #sourcePaths: string[] = []
  readonly #expects: string[] = []
  readonly #contents: Uint8Array[] = []
  readonly #xattrs: (number | string | Uint8Array)[] = []
  readonly #roots = new Map<string, number>()

  constructor(count: number) {
    this.#numbers = new Float64Array(count * PACK_NUMBERS)
  }

  add(entry: PackEntry): void {
    const index = this.#paths.length
    const at = index * PACK_NUMBERS
    this.#numbers[at] = TYPE_CODES.get(entry.type) ?? 0
    this.#paths.push(entry.path)
    if (entry.type === 'whiteout' || entry.type === 'opaque') {
      return
    }
    this.#numbers[at + 1] = entry.mode
    this.#numbers[at + 2] = entry.uid
    this.#numbers[at + 3] = entry.gid
    this.#numbers[at + 4] = entry.mtimeSec
    if (entry.xattrs !== undefined) {
      for (const { name, value } of entry.xattrs) {
        this.#xattrs.push(index, name, value)
      }
    }
    if (entry.type === 'symlink' || entry.type === 'hardlink') {
      this.#targets.push(entry.target)
    } else if (entry.type === 'char' || entry.type === 'block') {
      this.#numbers[at + 6] = entry.major
      this.#numbers[at + 7] = entry.minor
    } else if (entry.type === 'file') {
      this.#addFile(entry, at)
    }
  }

  #addFile(entry: Extract<PackEntry, { type: 'file' }>, at: number): void {
    this.#numbers[at + 5] = entry.sizeBytes
    this.#expects.push(entry.expect ?? '')
    if (entry.source.kind === 'bytes') {
      this.#numbers[at + 8] = -1
      this.#contents.push(entry.source.bytes)
      return
    }
    const { root, path } = entry.source
    let known = this.#roots.get(root)
    if (known === undefined) {
      known = this.#roots.size
      this.#roots.set(root, known)
    }
    this.#numbers[at + 8] = known
    this.#sourcePaths.push(path)
  }

  finish(): PackColumns {
    return {
      numbers: this.#numbers,
      paths: joinList(this.#paths),
      targets: joinList(this.#targets),
      sourcePaths: joinList(this.#sourcePaths),
      roots: joinList([...this.#roots.keys()]),
      expects: joinList(this.#expects),
      contents: this.#contents,
      xattrs: this.#xattrs,
    }
  }
}

/** What `encodePackEntries` was given. */
export function decodePackEntries(columns: PackColumns): PackEntry[] {
  const reader = new PackReader(columns)
  const entries = new Array<PackEntry>(columns.numbers.length / PACK_NUMBERS)
  for (let index = 0; index < entries.length; index += 1) {
    entries[index] = reader.entry(index)
  }
  return entries
}

class PackReader {
  readonly #numbers: Float64Array
  readonly #paths: readonly string[]
  readonly #targets: Iterator<string>
  readonly #sourcePaths: Iterator<string>
  readonly #expects: Iterator<string>
  readonly #roots: readonly string[]
  readonly #contents: Iterator<Uint8Array>
  readonly #xattrs: ReadonlyMap<number, Xattrs>

  constructor(columns: PackColumns) {
    this.#numbers = columns.numbers
    this.#paths = splitList(columns.paths)
    this.#targets = splitList(columns.targets).values()
    this.#sourcePaths = splitList(columns.sourcePaths).values()
    this.#expects = splitList(columns.expects).values()
    this.#roots = splitList(columns.roots)
    this.#contents = columns.contents.values()
    this.#xattrs = xattrsByEntry(columns.xattrs)
  }

  entry(index: number): PackEntry {
    const at = index * PACK_NUMBERS
    const type = TYPES[this.#number(at)] ?? 'file'
    const path = this.#paths[index] ?? ''
    if (type === 'whiteout' || type === 'opaque') {
      return { type, path }
    }
    const metadata = this.#metadata(index, at)
    switch (type) {
      case 'file':
        return this.#file(path, metadata, at)
      case 'symlink':
      case 'hardlink':
        return { type, path, ...metadata, target: next(this.#targets) }
      case 'char':
      case 'block':
        return {
          ...{ type, path, ...metadata },
          major: this.#number(at + 6),
          minor: this.#number(at + 7),
        }
      case 'dir':
      case 'fifo':
        return { type, path, ...metadata }
      case 'socket':
        throw new TypeError('a socket is no part of a layer')
    }
  }

  #metadata(index: number, at: number): EntryMetadata {
    const xattrs = this.#xattrs.size === 0 ? undefined : this.#xattrs.get(index)
    return {
      mode: this.#number(at + 1),
      uid: this.#number(at + 2),
      gid: this.#number(at + 3),
      mtimeSec: this.#number(at + 4),
      ...(xattrs !== undefined && { xattrs }),
    }
  }

  #file(path: string, metadata: EntryMetadata, at: number): PackEntry {
    const root = this.#number(at + 8)
    const expect = next(this.#expects)
    const source: PackSource =
      root < 0
        ? { kind: 'bytes', bytes: next(this.#contents) }
        : { kind: 'path', root: this.#roots[root] ?? '', path: next(this.#sourcePaths) }
    const sizeBytes = this.#number(at + 5)
    return expect === ''
      ? { type: 'file', path, ...metadata, sizeBytes, source }
      : { type: 'file', path, ...metadata, sizeBytes, source, expect: expect as Digest }
  }

  #number(at: number): number {
    return this.#numbers[at] ?? 0
  }
}

function next<T>(values: Iterator<T>): T {
  const { done, value } = values.next()
  if (done === true) throw new RangeError('a list of entries is cut short')
  return value
}

/** The packed entries with the digests of their files, which come in the same order. */
export function withDigests(entries: readonly PackEntry[], fileDigests: string): LayerEntry[] {
  let at = 0
  return entries.map((entry) => {
    if (entry.type !== 'file') {
      return entry
    }
    const { source: _source, expect: _expect, ...rest } = entry
    const digest = fileDigests.slice(at, at + DIGEST_LENGTH) as Digest
    at += DIGEST_LENGTH
    return { ...rest, digest }
  })
}
