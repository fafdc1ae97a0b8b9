import type { Access } from '../auth/authorizer.ts'
import { RegistryError } from '../errors.ts'
import type { HostClient, HostRequest } from '../host-client.ts'
import { type Digest, parseDigest } from '../oci/index.ts'
import type { HttpResponse } from '../transport/http-message.ts'
import { locationOf } from '../transport/redirect.ts'
import { blobHeaders, type SizedBody } from './upload-body.ts'

/**
 * An upload that the registry has begun: where its next request goes, and what the registry holds
 * of it.
 */
export interface UploadSession {
  readonly location: URL
  readonly receivedBytes: number
  /** OCI-Chunk-Min-Length: smaller chunks are refused, except for the last. */
  readonly chunkBytesMin: number
}

/** A mount asks the registry to take the blob over from another of its repositories. */
export interface MountSource {
  readonly repository: string
  readonly digest: Digest
}

/**
 * POST that begins an upload; with `mount` the answer may be that none is needed (features rows
 * R43, R44).
 */
export function beginUpload(
  host: HostClient,
  options: {
    readonly repository: string
    readonly access: Access
    readonly mount?: MountSource
    readonly signal: AbortSignal
  },
): Promise<UploadSession | 'mounted'> {
  const { mount } = options
  const query =
    mount === undefined
      ? ''
      : `?mount=${encodeURIComponent(mount.digest)}&from=${encodeURIComponent(mount.repository)}`
  return host.call(
    {
      method: 'POST',
      target: `${options.repository}/blobs/uploads/${query}`,
      headers: { 'content-length': '0' },
      access: options.access,
      expect: mount === undefined ? [202] : [201, 202],
      lane: 'call',
    },
    options.signal,
    async (response) => (response.status === 201 ? 'mounted' : sessionOf(response, 0)),
  )
}

/**
 * What the registry holds of an upload that broke (features row R45); undefined when it has
 * forgotten it.
 */
export async function uploadStatus(
  host: HostClient,
  session: UploadSession,
  options: { readonly access: Access; readonly signal: AbortSignal },
): Promise<UploadSession | undefined> {
  const { access, signal } = options
  try {
    return await host.exchange(aboutSession('GET', session, access), signal, async (response) => {
      const held = heldBytes(response)
      // Of an upload with one byte and of an empty one registries say `0-0` alike: neither is worth
      // a guess.
      return held === undefined || held <= 1 ? undefined : sessionOf(response, held, session)
    })
  } catch (error) {
    // Sessions end, and not every registry can be asked: a new one begins then.
    if (error instanceof RegistryError && !error.isTemporary) return undefined
    throw error
  }
}

/** Tells the registry that nothing more comes. Nothing that fails is told: what is begun ends by itself. */
export async function cancelUpload(
  host: HostClient,
  session: UploadSession,
  options: { readonly access: Access; readonly signal: AbortSignal },
): Promise<void> {
  const { access, signal } = options
  try {
    await host.exchange(aboutSession('DELETE', session, access), signal, async () => undefined)
  } catch {
    // Not every registry knows how to.
  }
}

function aboutSession(
  method: 'GET' | 'DELETE',
  { location }: UploadSession,
  access: Access,
): HostRequest {
  return { method, target: location, access, expect: [204, 202, 200], lane: 'call' }
}

/** The session after a response in it: each one may name another Location for the next request. */
export function sessionOf(
  response: HttpResponse,
  receivedBytes: number,
  before?: UploadSession,
): UploadSession {
  const minimum = Number(response.header('oci-chunk-min-length') ?? before?.chunkBytesMin ?? 0)
  const location =
    response.header('location') === undefined && before !== undefined
      ? before.location
      : locationOf(response)
  return {
    location,
    receivedBytes,
    chunkBytesMin: Number.isSafeInteger(minimum) && minimum > 0 ? minimum : 0,
  }
}

/** Bytes that a Range reply says are there: `0-N` is inclusive. */
export function heldBytes(response: HttpResponse): number | undefined {
  const end = /^(?:bytes=)?0-(\d{1,15})$/.exec(response.header('range') ?? '')?.[1]
  return end === undefined ? undefined : Number(end) + 1
}

/**
 * The request that ends an upload with these bytes, or with those that the session has. Answers are for `checkStored`.
 */
export function closingRequest(
  session: UploadSession,
  digest: Digest,
  options: { readonly access: Access; readonly body?: SizedBody },
): HostRequest {
  const { access, body } = options
  return {
    method: 'PUT',
    target: closingUrl(session, digest),
    headers: blobHeaders(body?.sizeBytes ?? 0),
    ...(body === undefined ? {} : { body }),
    access,
    expect: [201, 204],
    lane: body === undefined ? 'call' : 'upload',
  }
}

/** Throws RegistryError `digest-mismatch` when the registry says that it stored something else. */
export function checkStored(response: HttpResponse, digest: Digest): void {
  const stored = parseDigest(response.header('docker-content-digest') ?? '')
  if (stored === undefined || stored === digest) return
  const { host } = response.url
  throw new RegistryError(
    'digest-mismatch',
    `${host} stored the blob as ${stored} instead of ${digest}`,
    { host },
  )
}

/**
 * The URL that ends the upload. The query of a Location may be signed, so it stays as it is, byte
 * for byte.
 */
function closingUrl(session: UploadSession, digest: Digest): URL {
  const url = new URL(session.location)
  const separator = url.search === '' ? '?' : `${url.search}&`
  url.search = `${separator}digest=${encodeURIComponent(digest)}`
  return url
}
