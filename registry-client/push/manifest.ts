import { RegistryError } from '../errors.ts'
import type { HostClient } from '../host-client.ts'
import { MANIFEST_BYTES_MAX, type ManifestBytes, parseDigest } from '../oci/index.ts'
import { headManifest, type ManifestTarget } from '../pull/manifest.ts'
import { pushAccess } from './has-blob.ts'

/**
 * PUT of a manifest or index by tag or digest; the bytes go as they are (features row R49). Blobs
 * and child manifests must be there already (row R47). A tag that may not change but already names
 * this manifest is no error. Throws RegistryError, `tag-immutable` among them.
 */
export async function pushManifest(
  host: HostClient,
  target: ManifestTarget,
  manifest: ManifestBytes,
  signal: AbortSignal,
): Promise<void> {
  if (manifest.bytes.byteLength > MANIFEST_BYTES_MAX) {
    throw new RegistryError(
      'too-large',
      `the manifest is ${manifest.bytes.byteLength} bytes long, more than registries take`,
    )
  }
  try {
    await put(host, target, manifest, signal)
  } catch (error) {
    if (!(error instanceof RegistryError) || error.code !== 'tag-immutable') throw error
    const present = await headManifest(host, target, signal)
    if (present === undefined || present === 'unknown' || present.digest !== manifest.digest)
      throw error
  }
}

async function put(
  host: HostClient,
  target: ManifestTarget,
  manifest: ManifestBytes,
  signal: AbortSignal,
): Promise<void> {
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
  await host.call(request, signal, async (response) => {
    const stored = parseDigest(response.header('docker-content-digest') ?? '')
    if (stored === undefined || stored === manifest.digest) return
    const { host: name } = response.url
    throw new RegistryError(
      'digest-mismatch',
      `${name} stored the manifest as ${stored} instead of ${manifest.digest}`,
      { host: name },
    )
  })
}
