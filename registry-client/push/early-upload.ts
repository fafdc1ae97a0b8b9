import type { Access } from '../auth/authorizer.ts'
import type { BlobProgress, GrowingSource } from '../blob-stream.ts'
import { RegistryError } from '../errors.ts'
import type { HostClient } from '../host-client.ts'
import type { Descriptor } from '../oci/index.ts'
import type { RequestBody } from '../transport/http-message.ts'
import { orAborted } from '../transport/or-aborted.ts'
import {
  beginUpload,
  cancelUpload,
  sessionOf,
  type UploadSession,
  uploadStatus,
} from './upload-session.ts'

/** Whoever stops a build does not wait longer for a registry that does not answer: sessions end by themselves. */
const CANCEL_MS = 1000

export interface EarlyUploadOptions {
  readonly host: HostClient
  readonly repository: string
  readonly access: Access
  readonly source: GrowingSource
  readonly signal: AbortSignal
  readonly onProgress?: BlobProgress
}

/**
 * The upload of a blob whose end, and so whose digest, nobody knows yet:
 *
 *     POST ──> one PATCH whose body follows the blob ──> `finish` with the digest ──> BlobUpload closes the session
 *                 │ refused, cut                            │ nothing sent yet, refused
 *                 └──> what the registry holds of it        └──> BlobUpload begins by itself
 *
 * One PATCH of unknown length without Content-Range is how `docker push` sends every blob, so every registry takes it; chunks
 * with ranges many do not (docs/decisions/012). It is only ever an attempt: nothing that fails here is told, the usual
 * upload does it then. What is not finished is cancelled by disposing, and by the signal.
 */
export class EarlyUpload implements AsyncDisposable {
  readonly #options: EarlyUploadOptions
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  /** What has become of the PATCH. */
  readonly #sending: Promise<UploadSession | 'refused' | 'broken'>
  #session: UploadSession | undefined
  #sentBytes = 0
  #ending: Promise<void> | undefined

  constructor(options: EarlyUploadOptions) {
    this.#options = options
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal])
    this.#sending = this.#send().catch((error: unknown) =>
      error instanceof RegistryError && error.isTemporary ? 'broken' : 'refused',
    )
    options.signal.addEventListener('abort', this.#cancelNow)
  }

  /**
   * The blob is whole, and the source ends. Waits until the registry has what there is; gives the session to go on with,
   * which this object then does not cancel. Undefined: there is none that is of use.
   */
  async finish({ sizeBytes }: Descriptor, signal: AbortSignal): Promise<UploadSession | undefined> {
    const held = await this.#held(signal)
    if (this.#ending !== undefined) return undefined
    if (held === undefined || held.receivedBytes > sizeBytes) {
      // Not waited for: disposing does.
      this.#cancelNow()
      return undefined
    }
    this.#options.signal.removeEventListener('abort', this.#cancelNow)
    this.#ending = Promise.resolve()
    return held
  }

  /** Stops sending and cancels the session, unless it was handed on by `finish`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#ending ??= this.#cancel()
    return this.#ending
  }

  readonly #cancelNow = (): void => {
    void this[Symbol.asyncDispose]()
  }

  async #send(): Promise<UploadSession> {
    const { host, repository, access } = this.#options
    const signal = this.#signal
    const begun = await beginUpload(host, { repository, access, signal })
    if (begun === 'mounted') throw new RegistryError('bad-response', 'mounted without being asked')
    this.#session = begun
    const request = {
      method: 'PATCH',
      target: begun.location,
      headers: { 'content-type': 'application/octet-stream' },
      body: this.#body(),
      access,
      expect: [202, 201, 204],
      lane: 'growing',
    } as const
    const sending = host.exchange(request, signal, async (response) =>
      sessionOf(response, this.#sentBytes, begun),
    )
    // It may still be waiting for its turn.
    return await orAborted(sending, signal)
  }

  #body(): RequestBody {
    const { source, onProgress } = this.#options
    const open = async function* (this: EarlyUpload): AsyncGenerator<Uint8Array> {
      this.#sentBytes = 0
      for await (const chunk of source.open(this.#signal)) {
        this.#sentBytes += chunk.byteLength
        yield chunk
        onProgress?.(this.#sentBytes)
      }
    }
    return { kind: 'stream', sizeBytes: undefined, open: () => open.call(this) }
  }

  /** The session with all that was sent, or with what is there after a cut. */
  async #held(signal: AbortSignal): Promise<UploadSession | undefined> {
    // Still waiting for its turn: the usual way waits no longer.
    if (this.#sentBytes === 0) return undefined
    const sent = await orAborted(this.#sending, signal)
    if (sent === 'refused') return undefined
    if (sent !== 'broken') return sent
    const { host, access } = this.#options
    if (this.#session === undefined) return undefined
    try {
      return await uploadStatus(host, this.#session, { access, signal })
    } catch (error) {
      if (error instanceof RegistryError) return undefined
      throw error
    }
  }

  async #cancel(): Promise<void> {
    this.#options.signal.removeEventListener('abort', this.#cancelNow)
    this.#stop.abort()
    await this.#sending
    if (this.#session === undefined) return
    const { host, access } = this.#options
    await cancelUpload(host, this.#session, { access, signal: AbortSignal.timeout(CANCEL_MS) })
  }
}
