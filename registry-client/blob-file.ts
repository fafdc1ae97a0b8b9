import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { BatchedFile } from './batched-file.ts'
import type { BlobSink, BlobSource } from './blob-stream.ts'
import type { Descriptor } from './oci/index.ts'

/** Larger reads than node's 64 KiB: fewer turns of the event loop per megabyte. */
const READ_BYTES = 1024 * 1024

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

class FileSink implements BlobSink {
  readonly #path: string
  readonly #temporary: string
  readonly #file: FileHandle
  readonly #batches: BatchedFile

  constructor(path: string, temporary: string, file: FileHandle) {
    this.#path = path
    this.#temporary = temporary
    this.#file = file
    this.#batches = new BatchedFile(file)
  }

  write(chunk: Uint8Array): Promise<void> | void {
    return this.#batches.write(chunk)
  }

  async commit(): Promise<void> {
    try {
      await this.#batches.flush()
      await this.#file.sync()
      await rename(this.#temporary, this.#path)
    } catch (error) {
      await this.abort()
      throw error
    }
    await this.#file.close()
  }

  async abort(): Promise<void> {
    await this.#batches.settled()
    await this.#file.close()
    await rm(this.#temporary, { force: true })
  }
}
