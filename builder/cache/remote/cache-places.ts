import { formatReference, parseReference } from '../../../registry-client/oci/index.ts'
import type { RegistryOpener } from '../../ops/image-source.ts'
import { OciLayout } from '../../ops/oci-layout.ts'
import type { CacheImport } from '../../request.ts'
import { type CachePlace, DOCUMENT_BYTES_MAX } from './load-cache.ts'

/** The place that a `--cache-from` names; nothing is asked yet. */
export function cachePlace(
  location: Exclude<CacheImport, { type: 'unsupported' }>,
  registry: RegistryOpener,
): CachePlace {
  return location.type === 'registry'
    ? registryPlace(location.ref, registry)
    : layoutPlace(location.src, location.reference)
}

function registryPlace(ref: string, registry: RegistryOpener): CachePlace {
  const reference = parseReference(ref)
  const place = { registry: reference.registry, repository: reference.repository, tag: undefined }
  return {
    name: formatReference(reference),
    top: async (signal) => (await registry()).fetchManifest(reference, { signal }),
    read: async (descriptor, signal) => {
      const client = await registry()
      const at = { ...place, digest: descriptor.digest }
      if (/manifest|index/.test(descriptor.mediaType)) {
        return (await client.fetchManifest(at, { signal })).bytes
      }
      return await client.fetchBytes(at, descriptor, DOCUMENT_BYTES_MAX, { signal })
    },
    blob: (descriptor) => ({
      descriptor,
      origins: [{ registry: reference.registry, repository: reference.repository }],
      file: undefined,
    }),
  }
}

function layoutPlace(src: string, reference: string | undefined): CachePlace {
  const layout = new OciLayout(src)
  return {
    name: src,
    top: async () => {
      const descriptor = await layout.find(reference)
      return { bytes: await layout.read(descriptor), mediaType: descriptor.mediaType }
    },
    read: async (descriptor) => await layout.read(descriptor, DOCUMENT_BYTES_MAX),
    blob: (descriptor) => ({ descriptor, origins: [], file: layout.blobPath(descriptor.digest) }),
  }
}
