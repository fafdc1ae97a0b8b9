import type { FileHandle } from 'node:fs/promises'

/** Chunks that are written at once: sockets give 64 KiB at a time, and each write is a turn of the event loop. */
const BATCH_BYTES = 1 << 20

/** Collects small chunks for a file and writes while the next ones arrive; never more than two batches are held. */
export class BatchedFile {
  readonly #file: FileHandle
  #batch: Uint8Array[] = []
  #batchBytes = 0
  /** Of the batch before: the next one is collected meanwhile. */
  #writing: Promise<void> = Promise.resolve()

  constructor(file: FileHandle) {
    this.#file = file
  }

  /** Resolves when there is room for the next. Rejects when an earlier write failed. */
  write(chunk: Uint8Array): Promise<void> | void {
    this.#batch.push(chunk)
    this.#batchBytes += chunk.byteLength
    return this.#batchBytes < BATCH_BYTES ? undefined : this.#writeBatch()
  }

  /** Resolves when everything is written. The file stays open. */
  async flush(): Promise<void> {
    await this.#writeBatch()
    await this.#writing
  }

  /** Resolves when nothing is being written any more, whatever came of it: the file may be closed. */
  async settled(): Promise<void> {
    await this.#writing.catch(() => undefined)
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
    let left = batch
    while (left.length > 0) left = rest(left, (await this.#file.writev(left)).bytesWritten)
  }
}

/** What of `chunks` is left when the first `sizeBytes` are written: writev(2) may take less than all. */
function rest(chunks: readonly Uint8Array[], sizeBytes: number): Uint8Array[] {
  let skip = sizeBytes
  const left: Uint8Array[] = []
  for (const chunk of chunks) {
    if (skip < chunk.byteLength) left.push(chunk.subarray(skip))
    skip = Math.max(0, skip - chunk.byteLength)
  }
  return left
}
