import { createHash } from 'node:crypto'
import { createReadStream, statSync } from 'node:fs'
import { chmod, open, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import {
  type Digest,
  digestHex,
  digestOf,
  digestOfHash,
  parseDigest,
} from '../../registry-client/oci/index.ts'
import { StoreError, errnoOf, readFailure, writeFailure } from './errors.ts'
import { type Hold, holdBlob } from './leases.ts'
import type { Checkpoint } from './records.ts'
import type { StateRoot } from './root.ts'

/** What reading needs. Whatever asks keeps the blob from being collected until its lease ends. */
export interface BlobReader {
  /** undefined: not there. */
  size(digest: Digest, signal: AbortSignal): Promise<number | undefined>
  /** The bytes; ends with `blob-corrupt` instead of an end when they are not those of the digest. Errors: `blob-missing`. */
  stream(digest: Digest, signal: AbortSignal): Promise<Readable>
  /** A whole small blob, verified. Errors: `blob-missing`, `blob-corrupt`, `blob-too-large`. */
  read(digest: Digest, sizeBytesMax: number, signal: AbortSignal): Promise<Uint8Array>
  /** As `read`; undefined for one that is not there, or was damaged and is removed now. Errors: `blob-too-large`. */
  find(digest: Digest, sizeBytesMax: number, signal: AbortSignal): Promise<Uint8Array | undefined>
}

export interface BlobExpectation {
  readonly digest: Digest
  /** undefined: nobody said. */
  readonly sizeBytes: number | undefined
}

export interface BlobStoreOptions {
  readonly root: StateRoot
  /** The lease's: unfinished blobs are written there, and everything asked for or made is held. */
  readonly lease: {
    temporaryPath(kind: string): string
    hold(names: Iterable<Hold>, signal: AbortSignal): Promise<void>
  }
  readonly checkpoint?: Checkpoint
}

const READ_CHUNK_BYTES = 1 << 20

/** Blobs by digest: files `blobs/sha256/<hex>`, read-only, complete from the moment they have that name. */
export class BlobStore implements BlobReader {
  readonly #options: BlobStoreOptions

  constructor(options: BlobStoreOptions) {
    this.#options = options
  }

  /** Where a blob is once it is there. For the packer and readers that verify by themselves. */
  path(digest: Digest): string {
    return join(this.#options.root.blobsDir, digestHex(digest))
  }

  async size(digest: Digest, signal: AbortSignal): Promise<number | undefined> {
    await this.#options.lease.hold([holdBlob(digest)], signal)
    return sizeOf(this.path(digest)) ?? this.#restoreUnverified(digest, signal)
  }

  /** True when it is there with this size. One of another size is removed: it is damaged. */
  async has(expected: BlobExpectation, signal: AbortSignal): Promise<boolean> {
    const sizeBytes = await this.size(expected.digest, signal)
    if (sizeBytes === undefined) return false
    if (expected.sizeBytes === undefined || sizeBytes === expected.sizeBytes) return true
    // Either the announcement lies or the file is damaged; only its digest can tell.
    await this.removeIfCorrupt(expected.digest, signal)
    return false
  }

  async stream(digest: Digest, signal: AbortSignal): Promise<Readable> {
    if ((await this.size(digest, signal)) === undefined) throw missing(digest)
    return Readable.from(this.#verified(digest, signal), {
      objectMode: false,
      highWaterMark: READ_CHUNK_BYTES,
    })
  }

  async read(digest: Digest, sizeBytesMax: number, signal: AbortSignal): Promise<Uint8Array> {
    const sizeBytes = await this.size(digest, signal)
    if (sizeBytes === undefined) throw missing(digest)
    if (sizeBytes > sizeBytesMax) {
      throw new StoreError(
        'blob-too-large',
        `could not read blob ${digest}: ${sizeBytes} bytes, at most ${sizeBytesMax} are allowed`,
      )
    }
    const bytes = await readFile(this.path(digest), { signal })
    if (digestOf(bytes) !== digest) throw await this.#corrupt(digest)
    return bytes
  }

  async find(
    digest: Digest,
    sizeBytesMax: number,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    try {
      return await this.read(digest, sizeBytesMax, signal)
    } catch (error) {
      if (error instanceof StoreError && /^blob-(missing|corrupt)$/.test(error.code))
        return undefined
      throw error
    }
  }

  /**
   * Stores the bytes of `source` (a stream, or a file's path). Errors: `blob-mismatch` when they are not those of
   * `expected`; reading stops at the first byte too many. Several writers of one digest do no harm.
   */
  async ingest(
    source: AsyncIterable<Uint8Array> | string,
    expected: BlobExpectation,
    signal: AbortSignal,
  ): Promise<number> {
    const temporary = this.#options.lease.temporaryPath('blob')
    try {
      const bytes =
        typeof source === 'string'
          ? createReadStream(source, { highWaterMark: READ_CHUNK_BYTES })
          : source
      const sizeBytes = await this.#write(bytes, temporary, expected, signal)
      await this.#finish(temporary, expected.digest, signal)
      return sizeBytes
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
  }

  /** Stores bytes that are at hand (a config, a manifest); their digest. */
  async ingestBytes(bytes: Uint8Array | string, signal: AbortSignal): Promise<Digest> {
    const digest = digestOf(bytes)
    const temporary = this.#options.lease.temporaryPath('blob')
    try {
      await writeFile(temporary, bytes, { flag: 'wx', signal })
    } catch (error) {
      await rm(temporary, { force: true })
      throw writeFailure(`blob ${digest}`, temporary, error)
    }
    await this.#finish(temporary, digest, signal)
    return digest
  }

  /**
   * Takes over a finished file of the same filesystem whose digest was computed while it was written (the packer's).
   * Errors: `blob-mismatch` when the file has another size.
   */
  async adopt(
    temporary: string,
    blob: { readonly digest: Digest; readonly sizeBytes: number },
    signal: AbortSignal,
  ): Promise<void> {
    const sizeBytes = sizeOf(temporary)
    if (sizeBytes !== blob.sizeBytes) {
      throw new StoreError(
        'blob-mismatch',
        `could not store blob ${blob.digest}: ${temporary} has ${sizeBytes ?? 'no'} bytes, not ${blob.sizeBytes}`,
      )
    }
    await this.#finish(temporary, blob.digest, signal)
  }

  /** Reads the whole blob; one whose bytes are not those of its digest is removed, and this is true. Absent is fine. */
  async removeIfCorrupt(digest: Digest, signal: AbortSignal): Promise<boolean> {
    if ((await this.size(digest, signal)) === undefined) return false
    if ((await digestOfFile(this.path(digest), signal)) === digest) return false
    await this.#corrupt(digest)
    return true
  }

  /** Digests of all blobs, in no order; nothing is held. */
  async digests(): Promise<Digest[]> {
    const found = (await readdir(this.#options.root.blobsDir)).map((name) =>
      parseDigest(`sha256:${name}`),
    )
    return found.filter((digest) => digest !== undefined)
  }

  async #write(
    source: AsyncIterable<Uint8Array>,
    temporary: string,
    expected: BlobExpectation,
    signal: AbortSignal,
  ): Promise<number> {
    const hash = createHash('sha256')
    let sizeBytes = 0
    await using file = await open(temporary, 'wx')
    await this.#options.checkpoint?.('created')
    for await (const chunk of source) {
      signal.throwIfAborted()
      sizeBytes += chunk.length
      if (expected.sizeBytes !== undefined && sizeBytes > expected.sizeBytes) {
        throw mismatch(expected, `more than the ${expected.sizeBytes} bytes that were announced`)
      }
      hash.update(chunk)
      try {
        await file.writeFile(chunk)
      } catch (error) {
        throw writeFailure(`blob ${expected.digest}`, temporary, error)
      }
    }
    await this.#options.checkpoint?.('written')
    if (expected.sizeBytes !== undefined && sizeBytes !== expected.sizeBytes) {
      throw mismatch(expected, `${sizeBytes} bytes instead of ${expected.sizeBytes}`)
    }
    const actual = digestOfHash(hash)
    if (actual !== expected.digest) throw mismatch(expected, `the bytes have digest ${actual}`)
    return sizeBytes
  }

  async #finish(temporary: string, digest: Digest, signal: AbortSignal): Promise<void> {
    await chmod(temporary, 0o444)
    await this.#options.lease.hold([holdBlob(digest)], signal)
    await this.#options.checkpoint?.('verified')
    await rename(temporary, this.path(digest))
    await this.#options.checkpoint?.('renamed')
  }

  async *#verified(digest: Digest, signal: AbortSignal): AsyncGenerator<Buffer> {
    const hash = createHash('sha256')
    for await (const bytes of bytesOf(this.path(digest), signal)) {
      hash.update(bytes)
      yield bytes
    }
    if (digestOfHash(hash) !== digest) throw await this.#corrupt(digest)
  }

  /** A blob that a crash of the machine may have damaged (durability.ts): good ones get their place back. */
  async #restoreUnverified(digest: Digest, signal: AbortSignal): Promise<number | undefined> {
    const path = join(this.#options.root.path, 'blobs/unverified', digestHex(digest))
    const sizeBytes = sizeOf(path)
    if (sizeBytes === undefined) return undefined
    if ((await digestOfFile(path, signal)) !== digest) {
      await rm(path, { force: true })
      return undefined
    }
    try {
      await rename(path, this.path(digest))
    } catch (error) {
      // Another process restored it.
      if (errnoOf(error) !== 'ENOENT') throw error
    }
    return sizeOf(this.path(digest))
  }

  async #corrupt(digest: Digest): Promise<StoreError> {
    await rm(this.path(digest), { force: true })
    return new StoreError(
      'blob-corrupt',
      `could not use blob ${digest}: its bytes have changed on disk; it was removed and will be fetched or made again`,
    )
  }
}

async function digestOfFile(path: string, signal: AbortSignal): Promise<Digest> {
  const hash = createHash('sha256')
  for await (const bytes of bytesOf(path, signal)) {
    hash.update(bytes)
  }
  return digestOfHash(hash)
}

async function* bytesOf(path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  const chunks: AsyncIterable<Buffer> = createReadStream(path, {
    highWaterMark: READ_CHUNK_BYTES,
    signal,
  })
  try {
    yield* chunks
  } catch (error) {
    throw readFailure('a blob', path, error)
  }
}

/** At once, as records are read: a build asks for each of its blobs. */
function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size
}

function missing(digest: Digest): StoreError {
  return new StoreError('blob-missing', `could not read blob ${digest}: it is not in the store`)
}

function mismatch(expected: BlobExpectation, reason: string): StoreError {
  return new StoreError('blob-mismatch', `could not store blob ${expected.digest}: ${reason}`)
}
