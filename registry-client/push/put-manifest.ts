import { RegistryError } from '../errors.ts'
import type { HostClient } from '../host-client.ts'
import { type ManifestBytes, parseDigest } from '../oci/index.ts'
import type { ManifestTarget } from '../pull/manifest.ts'
import { refuseWebPage } from '../transport/response-error.ts'
import { pushAccess } from './has-blob.ts'

/** What the registry said to a manifest. */
export interface PutAnswer {
  /** It knows of subjects, and serves the manifest as a referrer (OCI-Subject). */
  readonly hasSubject: boolean
}

/** One PUT of a manifest as it is; throws RegistryError. */
export async function putManifest(
  host: HostClient,
  target: ManifestTarget,
  manifest: ManifestBytes,
  signal: AbortSignal,
): Promise<PutAnswer> {
  const { repository, tagOrDigest } = target
  const request = {
    method: 'PUT',
    target: `${repository}/manifests/${tagOrDigest}`,
    headers: { 'content-type': manifest.mediaType },
    body: { kind: 'bytes', bytes: manifest.bytes },
    access: pushAccess(repository),
    expect: [201, 200, 202, 204],
    lane: 'call',
  } as const
  return host.call(request, signal, async (response) => {
    await refuseWebPage(response)
    const stored = parseDigest(response.header('docker-content-digest') ?? '')
    const hasSubject = response.header('oci-subject') !== undefined
    if (stored === undefined || stored === manifest.digest) return { hasSubject }
    const { host: name } = response.url
    throw new RegistryError(
      'digest-mismatch',
      `${name} stored the manifest as ${stored} instead of ${manifest.digest}`,
      { host: name },
    )
  })
}
