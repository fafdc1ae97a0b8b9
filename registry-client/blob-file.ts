import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import type { BlobSink, BlobSource } from './blob-stream.ts'
import type { Descriptor } from './oci/index.ts'

/** Larger reads than node's 64 KiB: fewer turns of the event loop per megabyte. */
const READ_BYTES = 1024 * 1024
const WRITE_BYTES = 1024 * 1024

/** A sink that makes `path` from a temporary file beside it, once the blob is known to be right. */
export async function blobFileSink(path: string): Promise<BlobSink> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.partial`
  return new FileSink(path, temporary, await open(temporary, 'wx', 0o644))
}

/** A blob that lies in a file. The file must not change while it is sent. */
export function blobFileSource(path: string, descriptor: Descriptor): BlobSource {
  return {
    descriptor,
    open: (startByte) => createReadStream(path, { start: startByte, highWaterMark: READ_BYTES }),
  }
}

/** Collects small chunks and writes while the next ones arrive; never more than two batches are held. */
class FileSink implements BlobSink {
  readonly #path: string
  readonly #temporary: string
  readonly #file: FileHandle
  #batch: Uint8Array[] = []
  #batchBytes = 0
  #writing: Promise<void> = Promise.resolve()

  constructor(path: string, temporary: string, file: FileHandle) {
    this.#path = path
    this.#temporary = temporary
    this.#file = file
  }

  write(chunk: Uint8Array): Promise<void> | void {
    this.#batch.push(chunk)
    this.#batchBytes += chunk.byteLength
    if (this.#batchBytes >= WRITE_BYTES) return this.#writeBatch()
    return undefined
  }

  async commit(): Promise<void> {
    try {
      await this.#writeBatch()
      await this.#writing
      await this.#file.sync()
      await this.#file.close()
      await rename(this.#temporary, this.#path)
    } catch (error) {
      await rm(this.#temporary, { force: true })
      throw error
    }
  }

  async abort(): Promise<void> {
    // Whether the last write failed no longer matters, only that it has ended.
    await this.#writing.catch(() => undefined)
    await this.#file.close()
    await rm(this.#temporary, { force: true })
  }

  async #writeBatch(): Promise<void> {
    await this.#writing
    const batch = this.#batch
    this.#batch = []
    this.#batchBytes = 0
    this.#writing = this.#writeAll(batch)
    // Whoever waits for it next gets the failure; until then it is nobody's unhandled rejection.
    this.#writing.catch(() => undefined)
  }

  async #writeAll(batch: readonly Uint8Array[]): Promise<void> {
    if (batch.length > 0) await this.#file.writeFile(Buffer.concat(batch))
  }
}
