import type { HostClient, HostRequest } from '../host-client.ts'
import { repositoryScope } from '../auth/scope.ts'
import { RegistryError } from '../errors.ts'
import {
  type Descriptor,
  type Digest,
  DOCKER_INDEX,
  DOCKER_MANIFEST,
  digestOf,
  MANIFEST_BYTES_MAX,
  type ManifestBytes,
  type MediaType,
  OCI_INDEX,
  OCI_MANIFEST,
  type ParsedManifest,
  parseDigest,
  parseManifest,
} from '../oci/index.ts'
import type { HttpResponse } from '../transport/http-message.ts'
import { readBounded } from '../transport/limits.ts'

/**
 * All that we can read; a registry that is asked for less may convert, and the digest would be
 * another (features row R31).
 */
const ACCEPT = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST, '*/*;q=0.1'].join(', ')

/** A manifest in a repository, by tag or digest. */
export interface ManifestTarget {
  readonly repository: string
  readonly tagOrDigest: string
}

export type FetchedManifest = ManifestBytes & { readonly parsed: ParsedManifest }

/**
 * GET of a manifest. Its bytes have the digest that was asked for and the one that the registry
 * claims.
 */
export function getManifest(
  host: HostClient,
  target: ManifestTarget,
  options: { readonly declaredType?: MediaType | undefined; readonly signal: AbortSignal },
): Promise<FetchedManifest> {
  return host.call(manifestRequest('GET', target), options.signal, async (response) => {
    const bytes = await readBounded(response, 'manifest', MANIFEST_BYTES_MAX)
    const digest = digestOf(bytes)
    const asked = parseDigest(target.tagOrDigest)
    if (asked !== undefined && asked !== digest) throw mismatch(response, asked, digest)
    const claimed = claimedDigest(response)
    if (claimed !== undefined && claimed !== digest) throw mismatch(response, claimed, digest)
    const parsed = parseManifest(bytes, options.declaredType ?? response.header('content-type'))
    const mediaType = parsed.kind === 'index' ? parsed.index.mediaType : parsed.manifest.mediaType
    return { mediaType, digest, bytes, parsed }
  })
}

/**
 * HEAD of a manifest: type, digest and size without the content, which Docker Hub does not count
 * against the limit (features row R37). Undefined when there is no such manifest; `unknown` when
 * the registry does not say, or has no HEAD: then ask by GET.
 */
export async function headManifest(
  host: HostClient,
  target: ManifestTarget,
  signal: AbortSignal,
): Promise<Descriptor | 'unknown' | undefined> {
  const request = { ...manifestRequest('HEAD', target), expect: [200, 404, 405] }
  return host.call(request, signal, async (response) => {
    if (response.status === 404) return undefined
    if (response.status === 405) return 'unknown'
    const digest = claimedDigest(response)
    const mediaType = response.header('content-type')?.split(';', 1)[0]?.trim()
    const sizeBytes = Number(response.header('content-length') ?? Number.NaN)
    if (digest === undefined || !mediaType || !Number.isSafeInteger(sizeBytes)) return 'unknown'
    const asked = parseDigest(target.tagOrDigest)
    if (asked !== undefined && asked !== digest) throw mismatch(response, asked, digest)
    return { mediaType, digest, sizeBytes }
  })
}

function manifestRequest(method: 'GET' | 'HEAD', target: ManifestTarget): HostRequest {
  const { repository, tagOrDigest } = target
  return {
    method,
    target: `${repository}/manifests/${tagOrDigest}`,
    headers: { accept: ACCEPT },
    access: { repository, scopes: [repositoryScope(repository, 'pull')] },
    expect: [200],
    lane: 'call',
  }
}

function claimedDigest(response: HttpResponse): Digest | undefined {
  return parseDigest(response.header('docker-content-digest') ?? '')
}

function mismatch(response: HttpResponse, expected: Digest, actual: Digest): RegistryError {
  const { host } = response.url
  return new RegistryError(
    'digest-mismatch',
    `${host} sent a manifest with digest ${actual} instead of ${expected}`,
    { host },
  )
}
