import { createHash } from 'node:crypto'
import { type Digest, digestHex, parseDigest } from '../../registry-client/oci/index.ts'
import { comparePaths, type LayerPath } from '../../snapshotter/index.ts'

/** What identifies a state of a file without reading it. */
export interface FileStat {
  readonly path: LayerPath
  readonly dev: number
  readonly ino: number
  readonly sizeBytes: number
  readonly mtimeSec: number
  readonly mtimeNsec: number
  readonly ctimeSec: number
  readonly ctimeNsec: number
}

/*
 * A block on disk, numbers little-endian:
 *
 *   u32 entries | u32 bytes of paths | entries x record | paths | sha256 of all before
 *   record: f64 dev, ino, size, mtime, ctime (seconds) | u32 mtime, ctime (nanoseconds) | 32 bytes digest
 *
 * Paths are UTF-16, separated by NUL: a LayerPath may hold lone surrogates, which UTF-8 cannot express.
 */
const HEADER_BYTES = 8
const RECORD_BYTES = 80
const DIGEST_OFFSET = 48
const CHECKSUM_BYTES = 32

/** A file as the stat cache knows it. */
export interface StatRecord {
  readonly stat: FileStat
  readonly digest: Digest
}

/** Entries of the stat cache that were read together, sorted by path; records stay encoded until one is needed. */
export class StatBlock {
  readonly paths: readonly LayerPath[]
  readonly #records: Buffer
  #next = 0

  constructor(paths: readonly LayerPath[], records: Buffer) {
    this.paths = paths
    this.#records = records
  }

  /** Where the path is, or -1. Who asks path after path asks in order. */
  indexOf(path: LayerPath): number {
    let index = this.#next
    if (this.paths[index] !== path) {
      index = searchPath(this.paths, path)
    }
    this.#next = index < 0 ? this.#next : index + 1
    return index
  }

  record(index: number): StatRecord | undefined {
    const digest = this.digest(index)
    return digest === undefined ? undefined : { stat: this.stat(index), digest }
  }

  stat(index: number): FileStat {
    const at = index * RECORD_BYTES
    const records = this.#records
    return {
      path: this.paths[index] ?? '',
      dev: records.readDoubleLE(at),
      ino: records.readDoubleLE(at + 8),
      sizeBytes: records.readDoubleLE(at + 16),
      mtimeSec: records.readDoubleLE(at + 24),
      ctimeSec: records.readDoubleLE(at + 32),
      mtimeNsec: records.readUInt32LE(at + 40),
      ctimeNsec: records.readUInt32LE(at + 44),
    }
  }

  /** As comparing with `stat(index)`; done for every file of a context, so without making an object. */
  isSame(index: number, stat: FileStat): boolean {
    const at = index * RECORD_BYTES
    const records = this.#records
    return (
      records.readDoubleLE(at) === stat.dev &&
      records.readDoubleLE(at + 8) === stat.ino &&
      records.readDoubleLE(at + 16) === stat.sizeBytes &&
      records.readDoubleLE(at + 24) === stat.mtimeSec &&
      records.readDoubleLE(at + 32) === stat.ctimeSec &&
      records.readUInt32LE(at + 40) === stat.mtimeNsec &&
      records.readUInt32LE(at + 44) === stat.ctimeNsec
    )
  }

  digest(index: number): Digest | undefined {
    const at = index * RECORD_BYTES + DIGEST_OFFSET
    return parseDigest(`sha256:${this.#records.toString('hex', at, at + 32)}`)
  }
}

/** Index of `path` in sorted paths, or -1. */
function searchPath(paths: readonly LayerPath[], path: LayerPath): number {
  let low = 0
  let high = paths.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (comparePaths(paths[middle] ?? '', path) < 0) {
      low = middle + 1
    } else {
      high = middle
    }
  }
  return paths[low] === path ? low : -1
}

/** `entries` are sorted by path. */
export function encodeBlock(entries: readonly StatRecord[]): Buffer {
  const paths = Buffer.from(entries.map(({ stat }) => stat.path).join('\0'), 'utf16le')
  const block = Buffer.alloc(
    HEADER_BYTES + entries.length * RECORD_BYTES + paths.length + CHECKSUM_BYTES,
  )
  block.writeUInt32LE(entries.length, 0)
  block.writeUInt32LE(paths.length, 4)
  for (const [index, { stat, digest }] of entries.entries()) {
    writeRecord(block, HEADER_BYTES + index * RECORD_BYTES, stat, digest)
  }
  const end = block.length - CHECKSUM_BYTES
  paths.copy(block, end - paths.length)
  createHash('sha256').update(block.subarray(0, end)).digest().copy(block, end)
  return block
}

function writeRecord(block: Buffer, at: number, stat: FileStat, digest: Digest): void {
  block.writeDoubleLE(stat.dev, at)
  block.writeDoubleLE(stat.ino, at + 8)
  block.writeDoubleLE(stat.sizeBytes, at + 16)
  block.writeDoubleLE(stat.mtimeSec, at + 24)
  block.writeDoubleLE(stat.ctimeSec, at + 32)
  block.writeUInt32LE(stat.mtimeNsec, at + 40)
  block.writeUInt32LE(stat.ctimeNsec, at + 44)
  block.write(digestHex(digest), at + DIGEST_OFFSET, 'hex')
}

/** Size of the whole block whose first bytes are `header`; undefined when they are too few. */
export function blockBytes(header: Buffer): number | undefined {
  if (header.length < HEADER_BYTES) {
    return undefined
  }
  const records = header.readUInt32LE(0) * RECORD_BYTES
  return HEADER_BYTES + records + header.readUInt32LE(4) + CHECKSUM_BYTES
}

/** The block in `bytes`; undefined when it is damaged. */
export function decodeBlock(bytes: Buffer): StatBlock | undefined {
  const end = bytes.length - CHECKSUM_BYTES
  if (blockBytes(bytes) !== bytes.length) {
    return undefined
  }
  if (!createHash('sha256').update(bytes.subarray(0, end)).digest().equals(bytes.subarray(end))) {
    return undefined
  }
  const count = bytes.readUInt32LE(0)
  const pathsAt = HEADER_BYTES + count * RECORD_BYTES
  const paths = bytes.toString('utf16le', pathsAt, end).split('\0')
  return new StatBlock(paths, bytes.subarray(HEADER_BYTES, pathsAt))
}
