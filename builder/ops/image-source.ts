import { type FileHandle, open, rm } from 'node:fs/promises'
import type { BatchedFile, BlobSink, RegistryClient } from '../../registry-client/index.ts'
import { writeFailure } from '../../snapshotter/index.ts'

/** What a build asks of registries: a part of the registry client, which verifies digests and sizes. */
export type RegistrySource = Pick<RegistryClient, 'fetchManifest' | 'fetchBlob' | 'fetchBytes'>

/** Opens the client when it is first needed: loading it takes longer than a cached build. */
export type RegistryOpener = () => Promise<RegistrySource>

/** Writes a blob to a new file, which is gone when the download fails. Errors name the blob and the file. */
export class FileSink implements BlobSink {
  readonly #what: string
  readonly #path: string
  readonly #file: FileHandle
  readonly #batches: BatchedFile

  private constructor(what: string, path: string, file: FileHandle, batches: BatchedFile) {
    this.#what = what
    this.#path = path
    this.#file = file
    this.#batches = batches
  }

  /** `what` is for messages. */
  static async create(path: string, what: string): Promise<FileSink> {
    const client = await import('../../registry-client/index.ts')
    try {
      const file = await open(path, 'wx')
      return new FileSink(what, path, file, new client.BatchedFile(file))
    } catch (error) {
      throw writeFailure(what, path, error)
    }
  }

  write(chunk: Uint8Array): Promise<void> | void {
    return this.#batches.write(chunk)?.catch((error: unknown) => {
      throw writeFailure(this.#what, this.#path, error)
    })
  }

  async commit(): Promise<void> {
    try {
      await this.#batches.flush()
    } catch (error) {
      await this.abort()
      throw writeFailure(this.#what, this.#path, error)
    }
    await this.#file.close()
  }

  async abort(): Promise<void> {
    await this.#batches.settled()
    await this.#file.close()
    await rm(this.#path, { force: true })
  }
}
