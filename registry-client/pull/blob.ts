import { createHash, type Hash } from 'node:crypto'
import type { BlobProgress, BlobSink } from '../blob-stream.ts'
import { RegistryError } from '../errors.ts'
import type { HostClient, HostRequest } from '../host-client.ts'
import type { PullPlace, PullPlaces } from '../hosts/pull-places.ts'
import { repositoryScope } from '../auth/scope.ts'
import { type Descriptor, digestOfHash } from '../oci/index.ts'
import type { HttpResponse } from '../transport/http-message.ts'
import { bodyChunks, TrickleGuard } from '../transport/limits.ts'
import { retrying } from '../transport/retry.ts'

/**
 * A try that brought this much counts as progress: large blobs survive any number of cuts, a server
 * that cuts at once does not.
 */
const PROGRESS_BYTES = 1024 * 1024

export interface FetchBlobOptions {
  readonly signal: AbortSignal
  readonly onProgress?: BlobProgress
}

/** Where to begin; only whole blobs can be verified. */
interface FetchPartOptions extends FetchBlobOptions {
  readonly startByte?: number
}

/**
 * Brings a blob into `sink`, checking size and digest as bytes arrive (features row R34); after a
 * cut it goes on with a Range request, and after the failure of a mirror at the next place where
 * the last one stopped. The sink is committed only when size and digest are right, and aborted
 * otherwise. The URLs of foreign layers are never asked. Throws RegistryError, or what the sink
 * threw.
 */
export async function fetchBlob(
  places: PullPlaces,
  descriptor: Descriptor,
  sink: BlobSink,
  options: FetchPartOptions,
): Promise<void> {
  try {
    const received = new ReceivedBlob(descriptor, sink, options)
    await places((place) => new BlobDownload(place, received, options.signal).run())
    received.verify()
  } catch (error) {
    await sink.abort(error)
    throw error
  }
  await sink.commit()
}

/** What has arrived of a blob, from wherever. */
class ReceivedBlob {
  readonly descriptor: Descriptor
  readonly #sink: BlobSink
  readonly #onProgress: BlobProgress | undefined
  readonly #hash: Hash | undefined
  sizeBytes: number
  /** Whence the last bytes came. */
  host: string | undefined

  constructor(descriptor: Descriptor, sink: BlobSink, options: FetchPartOptions) {
    this.descriptor = descriptor
    this.#sink = sink
    this.#onProgress = options.onProgress
    this.sizeBytes = options.startByte ?? 0
    this.#hash = this.sizeBytes === 0 ? createHash('sha256') : undefined
  }

  async take(chunk: Uint8Array): Promise<void> {
    this.#hash?.update(chunk)
    await this.#sink.write(chunk)
    this.sizeBytes += chunk.byteLength
    this.#onProgress?.(this.sizeBytes)
  }

  /** Called once, when all bytes are there. */
  verify(): void {
    if (this.#hash === undefined) return
    const digest = digestOfHash(this.#hash)
    if (digest === this.descriptor.digest) return
    const { host } = this
    const reason = `${host} sent a blob with digest ${digest} instead of ${this.descriptor.digest}`
    throw new RegistryError('digest-mismatch', reason, { host })
  }
}

/** The rest of a blob from one place. */
class BlobDownload {
  readonly #host: HostClient
  readonly #repository: string
  readonly #received: ReceivedBlob
  readonly #signal: AbortSignal

  constructor(place: PullPlace, received: ReceivedBlob, signal: AbortSignal) {
    this.#host = place.host
    this.#repository = place.reference.repository
    this.#received = received
    this.#signal = signal
  }

  async run(): Promise<void> {
    const { clock, retryPolicy: policy } = this.#host
    let receivedBefore = this.#received.sizeBytes
    const madeProgress = (): boolean => {
      const isAhead = this.#received.sizeBytes - receivedBefore >= PROGRESS_BYTES
      receivedBefore = this.#received.sizeBytes
      return isAhead
    }
    await retrying({ clock, policy, signal: this.#signal, madeProgress }, () =>
      this.#host.exchange(this.#request(), this.#signal, (response) => this.#receive(response)),
    )
  }

  #request(): HostRequest {
    const repository = this.#repository
    const start = this.#received.sizeBytes
    return {
      method: 'GET',
      target: `${repository}/blobs/${this.#received.descriptor.digest}`,
      headers: start === 0 ? {} : { range: `bytes=${start}-` },
      access: { repository, scopes: [repositoryScope(repository, 'pull')] },
      expect: start === 0 ? [200] : [200, 206],
      lane: 'download',
    }
  }

  async #receive(response: HttpResponse): Promise<void> {
    const { sizeBytes } = this.#received.descriptor
    this.#received.host = response.url.host
    const start = response.status === 206 ? this.#rangeStart(response) : 0
    this.#checkLength(response, start)
    // A server without Range starts over: what we have already is skipped.
    let skipBytes = this.#received.sizeBytes - start
    const guard = new TrickleGuard(response.url.host, this.#host.clock.now())
    for await (const chunk of bodyChunks(response)) {
      guard.arrived(chunk.byteLength, this.#host.clock.now())
      const skipped = Math.min(skipBytes, chunk.byteLength)
      skipBytes -= skipped
      const fresh = skipped === 0 ? chunk : chunk.subarray(skipped)
      if (this.#received.sizeBytes + fresh.byteLength > sizeBytes)
        throw this.#wrongSize(response, 'more than', false)
      if (fresh.byteLength > 0) await this.#received.take(fresh)
    }
    if (this.#received.sizeBytes < sizeBytes)
      throw this.#wrongSize(response, `only ${this.#received.sizeBytes} of`, true)
  }

  /** First byte of a 206; never beyond what we have, or there would be a hole. */
  #rangeStart(response: HttpResponse): number {
    const start = /^bytes (\d{1,15})-/.exec(response.header('content-range') ?? '')?.[1]
    if (start !== undefined && Number(start) <= this.#received.sizeBytes) return Number(start)
    const { host } = response.url
    const reason = `${host} answered a request for bytes from ${this.#received.sizeBytes} with another range`
    throw new RegistryError('bad-response', reason, { host })
  }

  #checkLength(response: HttpResponse, start: number): void {
    const length = response.header('content-length')
    if (length === undefined || Number(length) === this.#received.descriptor.sizeBytes - start)
      return
    const { host } = response.url
    const expected = this.#received.descriptor.sizeBytes - start
    const reason = `${host} announces ${length} bytes of blob ${this.#received.descriptor.digest}, where ${expected} are due`
    throw new RegistryError('size-mismatch', reason, { host })
  }

  #wrongSize(response: HttpResponse, found: string, isTemporary: boolean): RegistryError {
    const { host } = response.url
    const { digest, sizeBytes } = this.#received.descriptor
    return new RegistryError(
      'size-mismatch',
      `${host} sent ${found} the ${sizeBytes} bytes of blob ${digest}`,
      { host, isTemporary },
    )
  }
}
