import {
  type Compression,
  type Descriptor,
  DOCKER_INDEX,
  DOCKER_LAYER_GZIP,
  DOCKER_LAYER_TAR,
  DOCKER_MANIFEST,
  type ManifestBytes,
  type MediaType,
  OCI_INDEX,
  OCI_LAYER_GZIP,
  OCI_LAYER_TAR,
  OCI_LAYER_ZSTD,
  OCI_MANIFEST,
  type Platform,
  serializeIndex,
  serializeManifest,
} from '../../registry-client/oci/index.ts'
import { BuildError } from '../errors.ts'

/** Media type of a layer in the family of the image. Docker's family has no zstd (features row O2): `unsupported`. */
export function layerMediaType(compression: Compression, useOciMediaTypes: boolean): MediaType {
  switch (compression) {
    case 'uncompressed':
      return useOciMediaTypes ? OCI_LAYER_TAR : DOCKER_LAYER_TAR
    case 'gzip':
      return useOciMediaTypes ? OCI_LAYER_GZIP : DOCKER_LAYER_GZIP
    case 'zstd':
      if (useOciMediaTypes) {
        return OCI_LAYER_ZSTD
      }
      throw new BuildError(
        'unsupported',
        'could not write the manifest: zstd layers need OCI media types (oci-mediatypes=true)',
      )
    default:
      return compression satisfies never
  }
}

/** How the bytes behind a layer's media type are compressed; undefined for types we do not know. */
export function compressionOf(mediaType: MediaType): Compression | undefined {
  if (mediaType.endsWith('+zstd')) {
    return 'zstd'
  }
  if (mediaType.endsWith('+gzip') || mediaType.endsWith('.tar.gzip')) {
    return 'gzip'
  }
  return mediaType.endsWith('.tar') ? 'uncompressed' : undefined
}

export interface ManifestParts {
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  readonly useOciMediaTypes: boolean
  readonly annotations: ReadonlyMap<string, string>
}

/** The manifest of one image. Layers of the other family are relabelled, never recompressed (features row O3). */
export function encodeManifest(parts: ManifestParts): ManifestBytes {
  const mediaType = parts.useOciMediaTypes ? OCI_MANIFEST : DOCKER_MANIFEST
  return serializeManifest({
    mediaType,
    config: parts.config,
    layers: parts.layers.map((layer) => relabel(layer, parts.useOciMediaTypes)),
    ...annotationsField(parts.annotations),
  })
}

export interface IndexParts {
  readonly manifests: readonly {
    readonly manifest: ManifestBytes
    readonly platform: Platform
    readonly annotations: ReadonlyMap<string, string>
  }[]
  readonly useOciMediaTypes: boolean
  readonly annotations: ReadonlyMap<string, string>
}

/** The index over the images of several platforms, in the order asked for (features row O41). */
export function encodeIndex(parts: IndexParts): ManifestBytes {
  const mediaType = parts.useOciMediaTypes ? OCI_INDEX : DOCKER_INDEX
  return serializeIndex({
    mediaType,
    manifests: parts.manifests.map(({ manifest, platform, annotations }) => ({
      mediaType: manifest.mediaType,
      digest: manifest.digest,
      sizeBytes: manifest.bytes.byteLength,
      platform,
      ...annotationsField(annotations),
    })),
    ...annotationsField(parts.annotations),
  })
}

/** The descriptor with the media type of the wanted family; types we do not know stay. */
export function relabel(layer: Descriptor, useOciMediaTypes: boolean): Descriptor {
  const compression = compressionOf(layer.mediaType)
  // Foreign (non-distributable) layers keep their type: it says that the bytes come from `urls`.
  if (compression === undefined || /foreign|nondistributable/.test(layer.mediaType)) {
    return layer
  }
  return { ...layer, mediaType: layerMediaType(compression, useOciMediaTypes) }
}

function annotationsField(annotations: ReadonlyMap<string, string>): {
  readonly annotations?: Record<string, string>
} {
  return annotations.size === 0 ? {} : { annotations: Object.fromEntries(annotations) }
}
