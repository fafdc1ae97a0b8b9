import type { BlobSink } from '../blob-stream.ts'
import { RegistryError } from '../errors.ts'
import type { PullPlaces } from '../hosts/pull-places.ts'
import type { Descriptor } from '../oci/index.ts'
import { fetchBlob } from './blob.ts'

/** A small blob, verified. Throws RegistryError `too-large` before anything of a huge one is asked for. */
export async function fetchBytes(
  places: PullPlaces,
  descriptor: Descriptor,
  bytesMax: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { digest, sizeBytes } = descriptor
  if (sizeBytes > bytesMax) {
    throw new RegistryError(
      'too-large',
      `blob ${digest} is ${sizeBytes} bytes long, more than the ${bytesMax} allowed`,
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
