import type { Access } from '../auth/authorizer.ts'
import type { BlobProgress, BlobSource } from '../blob-stream.ts'
import { RegistryError, worthAnother } from '../errors.ts'
import type { HostClient } from '../host-client.ts'
import type { HttpResponse } from '../transport/http-message.ts'
import { retrying } from '../transport/retry.ts'
import { hasBlob } from './has-blob.ts'
import { isRefused, isTooLarge, isWrongDigest, wantsChunks } from './refusals.ts'
import { blobHeaders, type BlobPart, partBody, type SizedBody } from './upload-body.ts'
import {
  beginUpload,
  checkStored,
  closingRequest,
  heldBytes,
  sessionOf,
  type UploadSession,
  uploadStatus,
} from './upload-session.ts'

/**
 * First size of chunks, and the factor by which they shrink while the server finds them too large.
 */
const CHUNK_BYTES = 16 * 1024 * 1024
const CHUNK_SHRINK = 4
const CHUNK_BYTES_MIN = 64 * 1024
/** Servers may take less than was sent, but one that takes a byte at a time would never end. */
const SHORT_ANSWERS_MAX = 16
/** A try that brought this much more counts as progress. */
const PROGRESS_BYTES = 1024 * 1024
/** How often a session that was begun before the blob was whole may fail. */
const EARLY_TRIES = 2

export interface BlobUploadOptions {
  readonly host: HostClient
  readonly repository: string
  readonly access: Access
  readonly source: BlobSource
  /** One that is begun already: the answer to a refused mount, or with what was sent before the blob was whole. */
  readonly session: UploadSession | undefined
  readonly signal: AbortSignal
  readonly onProgress?: BlobProgress
}

/**
 * One blob on its way up:
 *
 *     begin ──> PUT of everything ──────────────> done
 *                 │ cut, 5xx        │ 413, 405
 *                 v                 v
 *               is it there? ──> how much is there? ──> PATCH chunks ──> PUT of nothing ──> done
 *
 * A single PUT is tried first (features row R44): it is what every registry takes. After a failure
 * the registry is asked whether it has the blob after all, then how much of it, and only the rest
 * is sent (row R45). Where a broken PUT left nothing behind, as with proxies that pass on only whole
 * requests, chunks are sent from then on; where these are refused, everything in one request again.
 */
export class BlobUpload {
  readonly #options: BlobUploadOptions
  #session: UploadSession | undefined
  /** Undefined: in one request. */
  #chunkBytes: number | undefined
  #areChunksRefused = false
  #isWholeRefused = false
  /** The most that one request took before it broke. */
  #sentBytes = 0
  #shortAnswers = 0
  /** Where the registry would not go on, whatever it had said. */
  #refusedAt: number | undefined
  #triesBefore = 0
  #earlyTriesLeft: number

  constructor(options: BlobUploadOptions) {
    this.#options = options
    this.#earlyTriesLeft = (options.session?.receivedBytes ?? 0) > 0 ? EARLY_TRIES : 0
    this.#session = options.session
  }

  async run(): Promise<void> {
    const { host, signal } = this.#options
    let heldBefore = 0
    const madeProgress = (): boolean => {
      const held = this.#session?.receivedBytes ?? 0
      const isAhead = held - heldBefore >= PROGRESS_BYTES
      heldBefore = Math.max(held, heldBefore)
      return isAhead
    }
    await retrying({ clock: host.clock, policy: host.retryPolicy, signal, madeProgress }, () =>
      this.#try(),
    )
  }

  async #try(): Promise<void> {
    if (this.#triesBefore > 0 && (await this.#isThereAfterAll())) return
    this.#triesBefore += 1
    const session = this.#session ?? (await this.#begin())
    this.#session = session
    try {
      await this.#send(session)
    } catch (error) {
      if (this.#givesUpEarly(error)) return await this.#try()
      // What the registry had kept was not what we had sent: from the beginning, then.
      if (session.receivedBytes === 0 || !isWrongDigest(error)) throw error
      this.#session = undefined
      throw worthAnother(error)
    }
  }

  /** A session that was begun before the blob was whole was an attempt: one that cannot be ended is as if it had not been. */
  #givesUpEarly(error: unknown): boolean {
    if (this.#earlyTriesLeft === 0 || !(error instanceof RegistryError)) return false
    this.#earlyTriesLeft = error.isTemporary ? this.#earlyTriesLeft - 1 : 0
    if (this.#earlyTriesLeft > 0) return false
    this.#session = undefined
    return true
  }

  async #send(session: UploadSession): Promise<void> {
    if (session.receivedBytes === 0 && this.#chunkBytes === undefined) {
      const outcome = await this.#sendWhole(session)
      if (outcome === 'done') return
      this.#isWholeRefused = true
      this.#chunkBytes = CHUNK_BYTES
      this.#session = await this.#begin()
    }
    await this.#sendRest()
  }

  /** After a failure; when it is not there, what is left of the session is found out. */
  async #isThereAfterAll(): Promise<boolean> {
    const { host, repository, access, source, signal } = this.#options
    const { descriptor } = source
    if (await hasBlob(host, { repository, descriptor, access }, signal)) return true
    const before = this.#areChunksRefused ? undefined : this.#session
    const status = before && (await uploadStatus(host, before, { access, signal }))
    this.#session = status?.receivedBytes === this.#refusedAt ? undefined : status
    this.#refusedAt = undefined
    const isAllLost = this.#session === undefined && this.#sentBytes >= CHUNK_BYTES
    if (isAllLost && !this.#areChunksRefused) this.#chunkBytes ??= CHUNK_BYTES
    return false
  }

  async #begin(): Promise<UploadSession> {
    const { host, repository, access, signal } = this.#options
    const session = await beginUpload(host, { repository, access, signal })
    if (session !== 'mounted') return session
    throw new RegistryError('bad-response', `${host.registry} mounted a blob without being asked`, {
      host: host.registry,
    })
  }

  /** PUT with all bytes; `use-chunks` when the server does not take it in this form or size. */
  async #sendWhole(session: UploadSession): Promise<'done' | 'use-chunks'> {
    const { host, source, access, signal } = this.#options
    try {
      const { digest, sizeBytes } = source.descriptor
      const body = this.#body({ start: 0, length: sizeBytes })
      const request = closingRequest(session, digest, { access, body })
      await host.exchange(request, signal, async (response) => checkStored(response, digest))
      return 'done'
    } catch (error) {
      if (wantsChunks(error)) return 'use-chunks'
      throw error
    }
  }

  async #sendRest(): Promise<void> {
    const { sizeBytes } = this.#options.source.descriptor
    while ((this.#session?.receivedBytes ?? 0) < sizeBytes) await this.#sendChunk()
    await this.#close()
  }

  async #sendChunk(): Promise<void> {
    const { host, source, access, signal } = this.#options
    const session = this.#session ?? (await this.#begin())
    const start = session.receivedBytes
    const rest = source.descriptor.sizeBytes - start
    const length = Math.min(rest, Math.max(this.#chunkBytes ?? rest, session.chunkBytesMin))
    const request = {
      method: 'PATCH',
      target: session.location,
      headers: { ...blobHeaders(length), 'content-range': `${start}-${start + length - 1}` },
      body: this.#body({ start, length }),
      access,
      expect: [202, 201, 204],
      lane: 'upload',
    } as const
    try {
      this.#session = await host.exchange(request, signal, async (response) => {
        return sessionOf(response, this.#heldAfter(response, start, length), session)
      })
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error
      this.#adapt(error, { start, length, chunkBytesMin: session.chunkBytesMin })
    }
  }

  /** What a refused chunk leads to: a smaller one, at once, or by a retry another place or form. */
  #adapt(
    error: RegistryError,
    chunk: { readonly start: number; readonly length: number; readonly chunkBytesMin: number },
  ): void {
    const { start, length, chunkBytesMin } = chunk
    const smaller = Math.floor(length / CHUNK_SHRINK)
    const isSmallest = smaller < Math.max(CHUNK_BYTES_MIN, chunkBytesMin)
    if (isTooLarge(error, start) && !isSmallest) {
      this.#chunkBytes = smaller
      return
    }
    if (error.status === 416 && start > 0) {
      this.#refusedAt = start
      throw worthAnother(error)
    }
    if (this.#isWholeRefused || !isRefused(error)) throw error
    this.#areChunksRefused = true
    this.#chunkBytes = undefined
    throw worthAnother(error)
  }

  /**
   * The server may have taken less than was sent, never more. Amazon's answers stay at the end of
   * the first chunk, whatever was taken (aws/containers-roadmap#2831): what is no progress is no
   * news, and if the chunk was not taken, the next one or the digest tells.
   */
  #heldAfter(response: HttpResponse, start: number, length: number): number {
    const told = heldBytes(response) ?? start + length
    const held = told <= start ? start + length : told
    if (held < start + length) this.#shortAnswers += 1
    if (held <= start + length && this.#shortAnswers <= SHORT_ANSWERS_MAX) return held
    const { host } = response.url
    throw new RegistryError(
      'bad-response',
      `${host} says it holds ${held} bytes after ${start} + ${length} were sent`,
      { host },
    )
  }

  async #close(): Promise<void> {
    const { host, source, access, signal } = this.#options
    const session = this.#session ?? (await this.#begin())
    const { digest } = source.descriptor
    const request = closingRequest(session, digest, { access })
    await host.exchange(request, signal, async (response) => checkStored(response, digest))
  }

  #body(part: BlobPart): SizedBody {
    return partBody(this.#options.source, part, (sentBytes) => {
      this.#sentBytes = Math.max(this.#sentBytes, sentBytes - part.start)
      this.#options.onProgress?.(sentBytes)
    })
  }
}
