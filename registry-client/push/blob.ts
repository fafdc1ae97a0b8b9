import { repositoryScope } from '../auth/scope.ts'
import type { BlobProgress, BlobSource } from '../blob-stream.ts'
import { RegistryError } from '../errors.ts'
import type { HostClient } from '../host-client.ts'
import { BlobUpload } from './blob-upload.ts'
import type { EarlyUpload } from './early-upload.ts'
import { hasBlob, pushAccess } from './has-blob.ts'
import { beginUpload, type UploadSession } from './upload-session.ts'

/** How a blob came to be in the repository. */
export type BlobPushResult =
  | { readonly kind: 'existing' }
  | { readonly kind: 'mounted'; readonly from: string }
  | { readonly kind: 'uploaded' }

export interface PushBlobOptions {
  readonly signal: AbortSignal
  /**
   * Repositories of the same registry that are known to hold the blob, the likeliest first
   * (features row R43).
   */
  readonly mountFrom?: readonly string[]
  readonly onProgress?: BlobProgress
  /** What was sent of it before it was whole, into the same repository; is ended here, whatever happens. */
  readonly begun?: BegunUpload | undefined
}

/** An upload that was begun before its blob was whole (`RegistryClient.beginBlob`). Disposing cancels it. */
export type BegunUpload = Pick<EarlyUpload, 'finish' | typeof Symbol.asyncDispose>

/** More refusals than this, and uploading is faster. */
const MOUNTS_MAX = 3

/**
 * Makes a repository hold a blob with as little traffic as the registry allows: nothing when it is
 * there, a mount from another repository, else an upload (features rows R42 to R45).
 */
export async function pushBlob(
  host: HostClient,
  repository: string,
  source: BlobSource,
  options: PushBlobOptions,
): Promise<BlobPushResult> {
  const { signal } = options
  const { descriptor } = source
  await using sent = options.begun
  if (await hasBlob(host, { repository, descriptor, access: pushAccess(repository) }, signal))
    return { kind: 'existing' }
  const early = await sent?.finish(descriptor, signal)
  const begun =
    early === undefined ? await mountOrBegin(host, repository, source, options) : { session: early }
  if ('from' in begun) return { kind: 'mounted', from: begun.from }
  const upload = new BlobUpload({
    host,
    repository,
    access: pushAccess(repository),
    source,
    session: begun.session,
    ...options,
  })
  await upload.run()
  return { kind: 'uploaded' }
}

async function mountOrBegin(
  host: HostClient,
  repository: string,
  source: BlobSource,
  options: PushBlobOptions,
): Promise<{ readonly from: string } | { readonly session: UploadSession | undefined }> {
  const { signal } = options
  const candidates = (options.mountFrom ?? []).filter((from) => from !== repository)
  let session: UploadSession | undefined
  for (const from of candidates.slice(0, MOUNTS_MAX)) {
    const answer = await tryMount(host, { repository, from, source, signal })
    if (answer === 'mounted') return { from }
    // A refused mount is a begun upload; the last one is used, the others expire.
    session = answer ?? session
  }
  return { session }
}

async function tryMount(
  host: HostClient,
  options: {
    readonly repository: string
    readonly from: string
    readonly source: BlobSource
    readonly signal: AbortSignal
  },
): Promise<UploadSession | 'mounted' | undefined> {
  const { repository, from, signal } = options
  const access = {
    repository,
    scopes: [repositoryScope(repository, 'pull', 'push'), repositoryScope(from, 'pull')],
  }
  try {
    return await beginUpload(host, {
      repository,
      access,
      mount: { repository: from, digest: options.source.descriptor.digest },
      signal,
    })
  } catch (error) {
    // No right to read there, or no such repository: a mount only saves traffic, so the upload goes
    // on without it.
    if (error instanceof RegistryError && !error.isTemporary) return undefined
    throw error
  }
}
