import type { RegistryClient } from '../client.ts'
import {
  type ImageManifest,
  localPlatform,
  type ManifestBytes,
  OCI_CONFIG,
  OCI_MANIFEST,
  type Reference,
  serializeImageConfig,
  serializeManifest,
} from '../oci/index.ts'
import { MemorySource } from './test-client.ts'

const signal = new AbortController().signal

/** Pushes a whole image whose layers are these bytes; they need not be tar files. */
export async function pushTestImage(
  client: RegistryClient,
  reference: Reference,
  layers: readonly Uint8Array[],
): Promise<{ readonly manifest: ManifestBytes; readonly image: ImageManifest }> {
  const sources = layers.map((bytes) => new MemorySource(bytes))
  const config = new MemorySource(
    serializeImageConfig({
      ...localPlatform(),
      config: {},
      rootfs: { type: 'layers', diff_ids: [] },
      history: [],
    }),
  )
  const blobs = [config, ...sources]
  await Promise.all(blobs.map((source) => client.pushBlob(reference, source, { signal })))
  const image: ImageManifest = {
    mediaType: OCI_MANIFEST,
    config: { ...config.descriptor, mediaType: OCI_CONFIG },
    layers: sources.map(({ descriptor }) => descriptor),
  }
  const manifest = serializeManifest(image)
  await client.pushManifest(reference, manifest, { signal })
  return { manifest, image }
}
