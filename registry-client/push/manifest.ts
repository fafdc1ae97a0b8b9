import { RegistryError } from '../errors.ts'
import type { HostClient } from '../host-client.ts'
import { MANIFEST_BYTES_MAX, type ManifestBytes } from '../oci/index.ts'
import { headManifest, type ManifestTarget } from '../pull/manifest.ts'
import { putWithSubject } from '../referrers.ts'

/**
 * PUT of a manifest or index by tag or digest; the bytes go as they are (features row R49). Blobs
 * and child manifests must be there already (row R47). One with a `subject` also gets
 * into the list of that subject's referrers. A tag that may not change but already names
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
    await putWithSubject(host, target, manifest, signal)
  } catch (error) {
    if (!(error instanceof RegistryError) || error.code !== 'tag-immutable') throw error
    const present = await headManifest(host, target, signal)
    if (present === undefined || present === 'unknown' || present.digest !== manifest.digest)
      throw error
  }
}
