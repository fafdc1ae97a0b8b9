import type { Descriptor, ManifestBytes, Reference } from '../../registry-client/oci/index.ts'

/** What a build asks of registries. Bytes are verified by whoever stores them; the manifest's digest by the source. */
export interface RegistrySource {
  /** The manifest or index that a tag or digest names. Errors: the registry client's own. */
  fetchManifest(reference: Reference, signal: AbortSignal): Promise<ManifestBytes>
  /** The bytes of a config or layer, from the repository of `reference`. */
  fetchBlob(reference: Reference, blob: Descriptor, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>
}
