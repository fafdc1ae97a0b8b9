import type { CopySource } from './copy.ts'
import { RegistryError } from './errors.ts'
import type { PullPlaces } from './hosts/pull-places.ts'
import type { Descriptor, Digest, Reference } from './oci/index.ts'
import { blobStreamSource } from './pull/blob-stream-source.ts'
import type { FetchedManifest } from './pull/manifest.ts'

/** Of a registry client. */
export interface ManifestReader {
  fetchManifest(
    reference: Reference,
    options: { readonly signal: AbortSignal },
  ): Promise<FetchedManifest>
  referrers(
    reference: Reference,
    subject: Digest,
    options: { readonly signal: AbortSignal },
  ): Promise<Descriptor[]>
}

/** What `reference` names, to copy it elsewhere; `places` are those that have its blobs. */
export function repositorySource(
  client: ManifestReader,
  reference: Reference,
  places: PullPlaces,
): CopySource {
  const { registry, repository } = reference
  const place = (digest: Digest): Reference => ({ registry, repository, tag: undefined, digest })
  return {
    origin: { registry, repository },
    top: (signal) => client.fetchManifest(reference, { signal }),
    manifest: ({ digest }, signal) => client.fetchManifest(place(digest), { signal }),
    referrers: (subject, signal) => client.referrers(reference, subject, { signal }),
    tagged: async (tag, signal) => {
      const beside = { registry, repository, tag, digest: undefined }
      try {
        return await client.fetchManifest(beside, { signal })
      } catch (error) {
        if (error instanceof RegistryError && error.code === 'not-found') return undefined
        throw error
      }
    },
    blob: (descriptor, signal) => blobStreamSource(places, descriptor, signal),
  }
}
