import { type FileHandle, open, rm } from 'node:fs/promises'
import type { Descriptor, ManifestBytes, Reference } from '../../registry-client/oci/index.ts'

/** Takes the bytes of a blob; the registry client's `BlobSink`. `commit` comes only after digest and size were right. */
export interface BlobSink {
  write(chunk: Uint8Array): Promise<void> | void
  commit(): Promise<void>
  abort(cause: unknown): Promise<void>
}

/** What a build asks of registries. The source verifies digests and sizes; its errors are the registry client's. */
export interface RegistrySource {
  /** The manifest or index that a tag or digest names. */
  fetchManifest(reference: Reference, signal: AbortSignal): Promise<ManifestBytes>
  /** A config or layer, from the repository of `reference`. */
  fetchBlob(
    reference: Reference,
    blob: Descriptor,
    sink: BlobSink,
    options: { readonly signal: AbortSignal; readonly onProgress?: (movedBytes: number) => void },
  ): Promise<void>
}

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
