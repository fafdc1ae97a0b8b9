import {
  type Descriptor,
  type Digest,
  digestOf,
  type ImageConfig,
  type ManifestBytes,
  type MediaType,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER_GZIP,
  OCI_MANIFEST,
  type DiffId,
  type Platform,
  serializeImageConfig,
  serializeIndex,
  serializeManifest,
} from '../oci/index.ts'

export interface StoredManifest {
  readonly mediaType: MediaType
  readonly bytes: Uint8Array
}

/** An image that was put into a fake registry. */
export interface FakeImage {
  readonly manifest: ManifestBytes
  readonly descriptor: Descriptor
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

/** What one repository of a fake registry holds. Tests look into it and change it at will. */
export class FakeRepository {
  readonly blobs: Map<Digest, Uint8Array> = new Map()
  readonly manifests: Map<Digest, StoredManifest> = new Map()
  readonly tags: Map<string, Digest> = new Map()

  addBlob(bytes: Uint8Array, mediaType: MediaType = OCI_LAYER_GZIP): Descriptor {
    const digest = digestOf(bytes)
    this.blobs.set(digest, bytes)
    return { mediaType, digest, sizeBytes: bytes.byteLength }
  }

  addManifest(manifest: StoredManifest, tag?: string): Descriptor {
    const digest = digestOf(manifest.bytes)
    this.manifests.set(digest, manifest)
    if (tag !== undefined) this.tags.set(tag, digest)
    return { mediaType: manifest.mediaType, digest, sizeBytes: manifest.bytes.byteLength }
  }

  /** A whole image whose layers are `layers` as they are; their bytes need not be tar files. */
  addImage(options: {
    readonly layers: readonly Uint8Array[]
    readonly platform: Platform
    readonly tag?: string
  }): FakeImage {
    const { os, architecture, variant } = options.platform
    const layers = options.layers.map((bytes) => this.addBlob(bytes))
    const config: ImageConfig = {
      architecture,
      os,
      ...(variant === undefined ? {} : { variant }),
      config: {},
      rootfs: {
        type: 'layers',
        diff_ids: options.layers.map((bytes): DiffId => digestOf(bytes) as string as DiffId),
      },
      history: layers.map(() => ({ created_by: 'test' })),
    }
    const configDescriptor = this.addBlob(serializeImageConfig(config), OCI_CONFIG)
    const manifest = serializeManifest({
      mediaType: OCI_MANIFEST,
      config: configDescriptor,
      layers,
    })
    const descriptor = { ...this.addManifest(manifest, options.tag), platform: options.platform }
    return { manifest, descriptor, config: configDescriptor, layers }
  }

  addIndex(manifests: readonly Descriptor[], tag?: string): Descriptor {
    return this.addManifest(serializeIndex({ mediaType: OCI_INDEX, manifests }), tag)
  }

  /** The manifest that a tag or digest names. */
  find(tagOrDigest: string): (StoredManifest & { readonly digest: Digest }) | undefined {
    for (const [digest, manifest] of this.manifests) {
      if (digest === tagOrDigest || this.tags.get(tagOrDigest) === digest)
        return { digest, ...manifest }
    }
    return undefined
  }
}
