import type { BlobSink, BlobSource } from '../blob-stream.ts'
import type { PullPlaces } from '../hosts/pull-places.ts'
import type { Descriptor } from '../oci/index.ts'
import { fetchBlob } from './blob.ts'

/**
 * A blob of a registry as a source for an upload: nothing is stored in between, and no more is read
 * than the upload takes. From its beginning it is verified as every download; from the middle, after
 * a cut, whoever receives it must (registries do).
 */
export function blobStreamSource(
  places: PullPlaces,
  descriptor: Descriptor,
  signal: AbortSignal,
): BlobSource {
  return { descriptor, open: (startByte) => stream(places, descriptor, startByte, signal) }
}

async function* stream(
  places: PullPlaces,
  descriptor: Descriptor,
  startByte: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const stop = new AbortController()
  const handOver = new HandOver()
  const options = { signal: AbortSignal.any([signal, stop.signal]), startByte }
  const download = fetchBlob(places, descriptor, handOver, options).catch((error: unknown) =>
    handOver.fail(error),
  )
  try {
    for (;;) {
      const chunk = await handOver.next()
      if (chunk === undefined) return
      yield chunk
    }
  } finally {
    // An upload that broke wants no more: the connection must not stay open behind it.
    stop.abort()
    handOver.close()
    await download
  }
}

/** Passes chunks from the download to whoever iterates, one at a time. */
class HandOver implements BlobSink {
  #offered: { readonly chunk: Uint8Array; readonly taken: () => void } | undefined
  #end: { readonly error: unknown } | 'committed' | undefined
  #wake: () => void = () => undefined

  write(chunk: Uint8Array): Promise<void> | void {
    if (this.#end !== undefined) return undefined
    return new Promise((taken) => {
      this.#offered = { chunk, taken }
      this.#wake()
    })
  }

  async commit(): Promise<void> {
    this.#end ??= 'committed'
    this.#wake()
  }

  async abort(cause: unknown): Promise<void> {
    this.fail(cause)
  }

  fail(error: unknown): void {
    this.#end ??= { error }
    this.#wake()
  }

  /** Nobody will take anything any more. */
  close(): void {
    this.#end ??= 'committed'
    this.#offered?.taken()
    this.#offered = undefined
  }

  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const offered = this.#offered
      if (offered !== undefined) {
        this.#offered = undefined
        offered.taken()
        return offered.chunk
      }
      if (this.#end === 'committed') return undefined
      if (this.#end !== undefined) throw this.#end.error
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}
