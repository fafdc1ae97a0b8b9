import { createHash } from 'node:crypto'
import type { BlobProgress, BlobSink } from '../blob-stream.ts'
import { RegistryError } from '../errors.ts'
import type { HostClient, HostRequest } from '../host-client.ts'
import { repositoryScope } from '../auth/scope.ts'
import type { Descriptor } from '../oci/index.ts'
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

/**
 * Brings a blob into `sink`, checking size and digest as bytes arrive (features row R34); after a
 * cut it goes on with a Range request. The sink is committed only when both are right, and aborted
 * otherwise. The URLs of foreign layers are never asked. Throws RegistryError, or what the sink
 * threw.
 */
export async function fetchBlob(
  host: HostClient,
  blob: { readonly repository: string; readonly descriptor: Descriptor },
  sink: BlobSink,
  options: FetchBlobOptions,
): Promise<void> {
  try {
    await new BlobDownload(host, blob.repository, blob.descriptor, sink, options).run()
  } catch (error) {
    await sink.abort(error)
    throw error
  }
  await sink.commit()
}

class BlobDownload {
  readonly #host: HostClient
  readonly #repository: string
  readonly #descriptor: Descriptor
  readonly #sink: BlobSink
  readonly #options: FetchBlobOptions
  readonly #hash = createHash('sha256')
  #receivedBytes = 0

  constructor(
    host: HostClient,
    repository: string,
    descriptor: Descriptor,
    sink: BlobSink,
    options: FetchBlobOptions,
  ) {
    this.#host = host
    this.#repository = repository
    this.#descriptor = descriptor
    this.#sink = sink
    this.#options = options
  }

  async run(): Promise<void> {
    const { clock, retryPolicy: policy } = this.#host
    const { signal } = this.#options
    let receivedBefore = 0
    const madeProgress = (): boolean => {
      const isAhead = this.#receivedBytes - receivedBefore >= PROGRESS_BYTES
      receivedBefore = this.#receivedBytes
      return isAhead
    }
    await retrying({ clock, policy, signal, madeProgress }, () =>
      this.#host.exchange(this.#request(), signal, (response) => this.#receive(response)),
    )
    const digest = `sha256:${this.#hash.digest('hex')}`
    if (digest !== this.#descriptor.digest) {
      const { registry } = this.#host
      const reason = `${registry} sent a blob with digest ${digest} instead of ${this.#descriptor.digest}`
      throw new RegistryError('digest-mismatch', reason, { host: registry })
    }
  }

  #request(): HostRequest {
    const repository = this.#repository
    const start = this.#receivedBytes
    return {
      method: 'GET',
      target: `${repository}/blobs/${this.#descriptor.digest}`,
      headers: start === 0 ? {} : { range: `bytes=${start}-` },
      access: { repository, scopes: [repositoryScope(repository, 'pull')] },
      expect: start === 0 ? [200] : [200, 206],
      lane: 'blob',
    }
  }

  async #receive(response: HttpResponse): Promise<void> {
    const { sizeBytes } = this.#descriptor
    const start = response.status === 206 ? this.#rangeStart(response) : 0
    this.#checkLength(response, start)
    // A server without Range starts over: what we have already is skipped.
    let skipBytes = this.#receivedBytes - start
    const guard = new TrickleGuard(response.url.host, this.#host.clock.now())
    for await (const chunk of bodyChunks(response)) {
      guard.arrived(chunk.byteLength, this.#host.clock.now())
      const skipped = Math.min(skipBytes, chunk.byteLength)
      skipBytes -= skipped
      const fresh = skipped === 0 ? chunk : chunk.subarray(skipped)
      if (this.#receivedBytes + fresh.byteLength > sizeBytes)
        throw this.#wrongSize(response, 'more than', false)
      if (fresh.byteLength > 0) await this.#take(fresh)
    }
    if (this.#receivedBytes < sizeBytes)
      throw this.#wrongSize(response, `only ${this.#receivedBytes} of`, true)
  }

  async #take(chunk: Uint8Array): Promise<void> {
    this.#hash.update(chunk)
    await this.#sink.write(chunk)
    this.#receivedBytes += chunk.byteLength
    this.#options.onProgress?.(this.#receivedBytes)
  }

  /** First byte of a 206; never beyond what we have, or there would be a hole. */
  #rangeStart(response: HttpResponse): number {
    const start = /^bytes (\d{1,15})-/.exec(response.header('content-range') ?? '')?.[1]
    if (start !== undefined && Number(start) <= this.#receivedBytes) return Number(start)
    const { host } = response.url
    const reason = `${host} answered a request for bytes from ${this.#receivedBytes} with another range`
    throw new RegistryError('bad-response', reason, { host })
  }

  #checkLength(response: HttpResponse, start: number): void {
    const length = response.header('content-length')
    if (length === undefined || Number(length) === this.#descriptor.sizeBytes - start) return
    const { host } = response.url
    const expected = this.#descriptor.sizeBytes - start
    const reason = `${host} announces ${length} bytes of blob ${this.#descriptor.digest}, where ${expected} are due`
    throw new RegistryError('size-mismatch', reason, { host })
  }

  #wrongSize(response: HttpResponse, found: string, isTemporary: boolean): RegistryError {
    const { host } = response.url
    const { digest, sizeBytes } = this.#descriptor
    return new RegistryError(
      'size-mismatch',
      `${host} sent ${found} the ${sizeBytes} bytes of blob ${digest}`,
      { host, isTemporary },
    )
  }
}
