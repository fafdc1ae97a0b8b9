import type {
  Descriptor,
  DiffId,
  ImageConfig,
  ManifestBytes,
  Platform,
} from '../../registry-client/oci/index.ts'

/** A layer of a finished image. */
export interface ImageLayer {
  readonly diffId: DiffId
  readonly descriptor: Descriptor
  /** Where it came from when it was not made here: repositories that hold the blob, for cross-repository mounts (R43). */
  readonly origins: readonly { readonly registry: string; readonly repository: string }[]
  /** Ours, but so far only in a remote cache: whoever keeps a name for the image fetches it first. */
  readonly isInCache?: true
}

/** One platform of a build's result. Config, manifest and new layers are in the blob store. */
export interface BuiltImage {
  readonly platform: Platform
  readonly config: ImageConfig
  readonly configDescriptor: Descriptor
  readonly manifest: ManifestBytes
  readonly layers: readonly ImageLayer[]
}

/** What an exporter gets: one image, or several with their index. */
export interface BuildResult {
  readonly images: readonly BuiltImage[]
  /** Set when there are several platforms (or an index was forced). */
  readonly index: ManifestBytes | undefined
  /** Seconds; SOURCE_DATE_EPOCH of the build. */
  readonly epochSec: number | undefined
}
