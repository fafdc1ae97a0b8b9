import type { Digest } from '../../registry-client/oci/index.ts'
import type { EntryMetadata, LayerEntry } from '../layer/entry.ts'
import type { ScannedEntry } from './kernel-types.ts'

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

export type EntryType = ScannedEntry['type'] | 'hardlink' | 'whiteout' | 'opaque'

/** By the codes of EntryType in src/columns.h. */
export const TYPES: readonly EntryType[] = [
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
]

export const DIGEST_LENGTH: number = 'sha256:'.length + 64
const SCANNED_NUMBERS = 14
const LAYER_NUMBERS = 8

export type Xattrs = NonNullable<EntryMetadata['xattrs']>

/** The strings of a joined list: there is a NUL after the last one too. */
export function splitList(joined: string): string[] {
  const parts = joined.split('\0')
  parts.pop()
  return parts
}

export function joinList(parts: readonly string[]): string {
  return parts.length === 0 ? '' : `${parts.join('\0')}\0`
}

export function xattrsByEntry(
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
