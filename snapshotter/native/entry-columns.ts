import type { Digest } from '../../registry-client/oci/index.ts'
import type { EntryMetadata, LayerEntry } from '../layer/entry.ts'
import type { PackEntry, ScannedEntry } from './kernel-types.ts'

/**
 * Lists of entries cross the boundary to the addon column by column (src/columns.h): strings joined with a NUL after
 * each, numbers in one array. Making 50,000 objects through Node-API takes longer than walking the tree they describe.
 */
export interface EntryColumns {
  readonly count: number
  readonly numbers: Float64Array
  readonly paths: string
  /** One for each symlink and hard link. */
  readonly targets: string
  /** 71 characters for each file. */
  readonly digests: string
  /** Index of the entry, name, value, for each attribute. */
  readonly xattrs: readonly (number | string | Uint8Array)[]
}

/** Entries on their way to the packer; see readItems in src/pack-binding.cc. */
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

/** By the codes of EntryType in src/columns.h. */
const TYPES = [
  'dir',
  'file',
  'symlink',
  'char',
  'block',
  'fifo',
  'socket',
  'hardlink',
  'whiteout',
  'opaque',
] as const
type EntryType = (typeof TYPES)[number]
const TYPE_CODES: ReadonlyMap<EntryType, number> = new Map(TYPES.map((type, code) => [type, code]))

const DIGEST_LENGTH = 'sha256:'.length + 64
const SCANNED_NUMBERS = 14
const LAYER_NUMBERS = 8
const PACK_NUMBERS = 9

type Xattrs = NonNullable<EntryMetadata['xattrs']>

/** The strings of a joined list: there is a NUL after the last one too. */
function splitList(joined: string): string[] {
  const parts = joined.split('\0')
  parts.pop()
  return parts
}

export function joinList(parts: readonly string[]): string {
  return parts.length === 0 ? '' : `${parts.join('\0')}\0`
}

function xattrsByEntry(
  flat: EntryColumns['xattrs'],
): Map<number, { name: string; value: Uint8Array }[]> {
  const out = new Map<number, { name: string; value: Uint8Array }[]>()
  for (let i = 0; i + 2 < flat.length; i += 3) {
    const [index, name, value] = [flat[i], flat[i + 1], flat[i + 2]]
    if (typeof index !== 'number' || typeof name !== 'string' || !(value instanceof Uint8Array)) {
      throw new TypeError('the addon gave malformed extended attributes')
    }
    const list = out.get(index)
    if (list === undefined) {
      out.set(index, [{ name, value }])
    } else {
      list.push({ name, value })
    }
  }
  return out
}

/** Reads the columns of one list in their order. */
class ColumnReader {
  readonly count: number
  readonly #numbers: Float64Array
  readonly #paths: string[]
  readonly #targets: string[]
  readonly #digests: string
  readonly #xattrs: Map<number, { name: string; value: Uint8Array }[]>
  #targetAt = 0
  #digestAt = 0

  constructor(columns: EntryColumns) {
    this.count = columns.count
    this.#numbers = columns.numbers
    this.#paths = splitList(columns.paths)
    this.#targets = splitList(columns.targets)
    this.#digests = columns.digests
    this.#xattrs = xattrsByEntry(columns.xattrs)
  }

  number(at: number): number {
    return this.#numbers[at] ?? 0
  }

  type(at: number): EntryType {
    return TYPES[this.number(at)] ?? 'file'
  }

  path(index: number): string {
    return this.#paths[index] ?? ''
  }

  nextTarget(): string {
    return this.#targets[this.#targetAt++] ?? ''
  }

  nextDigest(): Digest {
    const at = this.#digestAt
    this.#digestAt += DIGEST_LENGTH
    return this.#digests.slice(at, this.#digestAt) as Digest
  }

  xattrs(index: number): Xattrs | undefined {
    return this.#xattrs.size === 0 ? undefined : this.#xattrs.get(index)
  }
}

/** The entries of a scan, in its order. */
export function decodeScanned(columns: EntryColumns): ScannedEntry[] {
  const reader = new ColumnReader(columns)
  const out = new Array<ScannedEntry>(reader.count)
  for (let i = 0; i < reader.count; i++) {
    out[i] = scannedEntry(reader, i)
  }
  return out
}

function scannedEntry(reader: ColumnReader, index: number): ScannedEntry {
  const at = index * SCANNED_NUMBERS
  const type = reader.type(at) as ScannedEntry['type']
  const xattrs = reader.xattrs(index)
  const entry: ScannedEntry = {
    path: reader.path(index),
    type,
    mode: reader.number(at + 1),
    uid: reader.number(at + 2),
    gid: reader.number(at + 3),
    sizeBytes: reader.number(at + 4),
    mtimeSec: reader.number(at + 5),
    mtimeNsec: reader.number(at + 6),
    ctimeSec: reader.number(at + 7),
    ctimeNsec: reader.number(at + 8),
    dev: reader.number(at + 9),
    ino: reader.number(at + 10),
    nlink: reader.number(at + 11),
  }
  if (type === 'dir' || type === 'file') {
    return xattrs === undefined ? entry : { ...entry, xattrs }
  }
  return {
    ...entry,
    ...(type === 'symlink' && { target: reader.nextTarget() }),
    ...((type === 'char' || type === 'block') && {
      major: reader.number(at + 12),
      minor: reader.number(at + 13),
    }),
    ...(xattrs !== undefined && { xattrs }),
  }
}

/** The entries of a layer, in the order of its tar. */
export function decodeLayerEntries(columns: EntryColumns): LayerEntry[] {
  const reader = new ColumnReader(columns)
  const out = new Array<LayerEntry>(reader.count)
  for (let i = 0; i < reader.count; i++) {
    out[i] = layerEntry(reader, i)
  }
  return out
}

function layerEntry(reader: ColumnReader, index: number): LayerEntry {
  const at = index * LAYER_NUMBERS
  const type = reader.type(at)
  const path = reader.path(index)
  if (type === 'whiteout' || type === 'opaque') {
    return { type, path }
  }
  const xattrs = reader.xattrs(index)
  const metadata: EntryMetadata = {
    mode: reader.number(at + 1),
    uid: reader.number(at + 2),
    gid: reader.number(at + 3),
    mtimeSec: reader.number(at + 4),
    ...(xattrs !== undefined && { xattrs }),
  }
  switch (type) {
    case 'file':
      return {
        type,
        path,
        ...metadata,
        sizeBytes: reader.number(at + 5),
        digest: reader.nextDigest(),
      }
    case 'symlink':
    case 'hardlink':
      return { type, path, ...metadata, target: reader.nextTarget() }
    case 'char':
    case 'block':
      return { type, path, ...metadata, major: reader.number(at + 6), minor: reader.number(at + 7) }
    case 'dir':
    case 'fifo':
      return { type, path, ...metadata }
    case 'socket':
      throw new TypeError('the addon gave a socket as part of a layer')
  }
}

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
    this.#numbers.set([entry.mode, entry.uid, entry.gid, entry.mtimeSec], at + 1)
    for (const { name, value } of entry.xattrs ?? []) {
      this.#xattrs.push(index, name, value)
    }
    if (entry.type === 'symlink' || entry.type === 'hardlink') {
      this.#targets.push(entry.target)
    } else if (entry.type === 'char' || entry.type === 'block') {
      this.#numbers.set([entry.major, entry.minor], at + 6)
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
    const known = this.#roots.get(root) ?? this.#roots.size
    this.#roots.set(root, known)
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
