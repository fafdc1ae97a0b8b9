import type { Descriptor } from './descriptor.ts'
import type { Digest } from './digest.ts'
import type { MediaType } from './media-type.ts'

/** An image manifest (OCI image-spec manifest.md; Docker schema 2 has the same shape). */
export interface ImageManifest {
  readonly mediaType: MediaType
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  readonly annotations?: Readonly<Record<string, string>>
  readonly artifactType?: string
  readonly subject?: Descriptor
}

/** An image index (OCI image-spec image-index.md) or Docker manifest list. */
export interface ImageIndex {
  readonly mediaType: MediaType
  readonly manifests: readonly Descriptor[]
  readonly annotations?: Readonly<Record<string, string>>
  readonly artifactType?: string
  readonly subject?: Descriptor
}

/** What a manifest body turned out to be. */
export type ParsedManifest =
  | { readonly kind: 'manifest'; readonly manifest: ImageManifest }
  | { readonly kind: 'index'; readonly index: ImageIndex }

/** A manifest or index with the exact bytes it was read from or will be written as. */
export interface ManifestBytes {
  readonly mediaType: MediaType
  readonly digest: Digest
  readonly bytes: Uint8Array
}
