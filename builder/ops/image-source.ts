import { type FileHandle, open, rm } from 'node:fs/promises'
import type { BlobSink, RegistryClient } from '../../registry-client/index.ts'

/** What a build asks of registries: a part of the registry client, which verifies digests and sizes. */
export type RegistrySource = Pick<RegistryClient, 'fetchManifest' | 'fetchBlob'>

/** Opens the client when it is first needed: loading it takes longer than a cached build. */
export type RegistryOpener = () => Promise<RegistrySource>

/** Collects a small blob in memory. */
export class MemorySink implements BlobSink {
  readonly #chunks: Uint8Array[] = []

  write(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
  }

  async commit(): Promise<void> {}

  async abort(): Promise<void> {
    this.#chunks.length = 0
  }

  get bytes(): Uint8Array {
    return Buffer.concat(this.#chunks)
  }
}

/** Writes a blob to a new file, which is gone when the download fails. */
export class FileSink implements BlobSink {
  readonly #path: string
  #file: FileHandle | undefined

  constructor(path: string) {
    this.#path = path
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#file ??= await open(this.#path, 'wx')
    await this.#file.writeFile(chunk)
  }

  async commit(): Promise<void> {
    this.#file ??= await open(this.#path, 'wx')
    await this.#file.close()
  }

  async abort(): Promise<void> {
    await this.#file?.close()
    await rm(this.#path, { force: true })
  }
}
