import type { BlobSink } from '../blob-stream.ts'
import { RegistryError } from '../errors.ts'
import type { PullPlaces } from '../hosts/pull-places.ts'
import {
  CONFIG_BYTES_MAX,
  type Descriptor,
  type ImageConfig,
  parseImageConfig,
} from '../oci/index.ts'
import { fetchBlob } from './blob.ts'

/** An image config with the exact bytes that its digest is of. */
export interface FetchedConfig {
  readonly config: ImageConfig
  readonly bytes: Uint8Array
}

/**
 * The config of an image; throws RegistryError `too-large` before anything of a huge one is asked
 * for, `bad-config`.
 */
export async function fetchConfig(
  places: PullPlaces,
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<FetchedConfig> {
  const bytes = await fetchBytes(places, descriptor, CONFIG_BYTES_MAX, signal)
  return { config: parseImageConfig(bytes), bytes }
}

async function fetchBytes(
  places: PullPlaces,
  descriptor: Descriptor,
  bytesMax: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const { sizeBytes } = descriptor
  if (sizeBytes > bytesMax) {
    throw new RegistryError(
      'too-large',
      `the image config is ${sizeBytes} bytes long, more than the ${bytesMax} allowed`,
    )
  }
  const sink = new MemorySink()
  await fetchBlob(places, descriptor, sink, { signal })
  return sink.bytes
}

class MemorySink implements BlobSink {
  readonly #chunks: Uint8Array[] = []

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  write(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
  }

  async commit(): Promise<void> {}

  async abort(): Promise<void> {
    this.#chunks.length = 0
  }
}
