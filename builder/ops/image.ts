import {
  CONFIG_BYTES_MAX,
  type Descriptor,
  type Digest,
  formatReference,
  type ImageConfig,
  type ImageManifest,
  MANIFEST_BYTES_MAX,
  type ManifestBytes,
  parseImageConfig,
  parseManifest,
  parseReference,
  type Platform,
  type Reference,
} from '../../registry-client/oci/index.ts'
import type { Store } from '../../snapshotter/index.ts'
import { BuildError } from '../errors.ts'
import type { ImageStore } from '../image/image-store.ts'
import { compressionOf } from '../image/manifest.ts'
import { BuildLayer, type LayerOrigin, type LayerStack } from '../solver/layer.ts'
import type { Limits } from '../solver/limits.ts'
import { SingleFlight } from '../solver/single-flight.ts'
import type { StepReporter } from '../solver/steps.ts'
import { choosePlatform } from './choose-platform.ts'
import type { RegistryOpener } from './image-source.ts'
import { OciLayout } from './oci-layout.ts'

/** A base image for one platform: manifest and config are at hand, layers are not fetched. */
export interface ResolvedImage {
  /** Handle that the graph carries: the manifest's digest. */
  readonly handle: Digest
  /** Normalised name, for messages. */
  readonly reference: string
  readonly manifest: ImageManifest
  readonly config: ImageConfig
  readonly origins: readonly LayerOrigin[]
  readonly layout: OciLayout | undefined
}

export interface ImageResolverParts {
  readonly images: ImageStore
  readonly blobs: Pick<Store['blobs'], 'find' | 'ingestBytes'>
  readonly registry: RegistryOpener
  readonly limits: Limits
  readonly steps: StepReporter
  /** For a build: a name that was not in the store before counts as cache (StoredImage.isBase). */
  readonly isForBuild: boolean
  /** `--pull`: ask the registry even for names that are in the store. */
  readonly isPullForced: boolean
  readonly nowMs: () => number
}

/** Where the small documents of one image come from. */
interface DocumentSource {
  readonly name: string
  readonly origins: readonly LayerOrigin[]
  readonly layout: OciLayout | undefined
  read(descriptor: Descriptor, sizeBytesMax: number, signal: AbortSignal): Promise<Uint8Array>
}

/**
 * Resolves base images, each once per build and platform. A name in the store is used as it is, a digest needs no
 * network when its manifest is in the store, `--pull` asks again (features rows D141, D142; design.md, "Pull policy").
 */
export class ImageResolver {
  readonly #parts: ImageResolverParts
  readonly #flights = new SingleFlight<ResolvedImage>()
  readonly #resolved = new Map<string, ResolvedImage>()

  constructor(parts: ImageResolverParts) {
    this.#parts = parts
  }

  /**
   * `label` begins the title of the step. Errors: `reference-invalid` (OciError), `image-missing`, `platform-missing`, those of
   * the registry client.
   */
  async resolve(
    text: string,
    platform: Platform,
    signal: AbortSignal,
    label = 'internal',
  ): Promise<ResolvedImage> {
    const reference = parseReference(text)
    const name = formatReference(reference)
    const title = `[${label}] load metadata for ${name}`
    return await this.#flights.run(JSON.stringify([name, platform]), () =>
      this.#reported(title, signal, async () => this.#fromName(reference, platform, signal)),
    )
  }

  async resolveLayout(
    location: { readonly path: string; readonly reference: string | undefined },
    platform: Platform,
    signal: AbortSignal,
    label = 'internal',
  ): Promise<ResolvedImage> {
    const name = `oci-layout://${location.path}${location.reference === undefined ? '' : `:${location.reference}`}`
    return await this.#flights.run(JSON.stringify([name, platform]), () =>
      this.#reported(`[${label}] load metadata for ${name}`, signal, async () => {
        const layout = new OciLayout(location.path)
        const top = await layout.find(location.reference)
        const source = { name, origins: [], layout, read: (blob: Descriptor) => layout.read(blob) }
        return await this.#fromDescriptor(top, source, platform, signal)
      }),
    )
  }

  /** What `resolve` gave under this handle. */
  byHandle(handle: string): ResolvedImage {
    const resolved = this.#resolved.get(handle)
    if (resolved === undefined) {
      throw new RangeError(`image ${handle} was never resolved`)
    }
    return resolved
  }

  async #reported(
    title: string,
    signal: AbortSignal,
    work: () => Promise<ResolvedImage>,
  ): Promise<ResolvedImage> {
    const resolved = await this.#parts.steps.during(title, signal, work)
    // Equal manifests of two names are one image; their registries all hold its blobs.
    const known = this.#resolved.get(resolved.handle)
    const origins = [...(known?.origins ?? []), ...resolved.origins]
    this.#resolved.set(resolved.handle, { ...resolved, origins })
    return resolved
  }

  async #fromName(
    reference: Reference,
    platform: Platform,
    signal: AbortSignal,
  ): Promise<ResolvedImage> {
    const name = formatReference(reference)
    const origin = { registry: reference.registry, repository: reference.repository }
    const known = await this.#parts.images.get(name)
    const stored = this.#parts.isPullForced ? undefined : known
    if (
      stored !== undefined &&
      (await this.#parts.blobs.find(stored.target.digest, MANIFEST_BYTES_MAX, signal)) !== undefined
    ) {
      await this.#parts.images.touch(stored)
      const source = this.#registryDocuments(reference, stored.origins)
      return await this.#fromDescriptor(stored.target, source, platform, signal)
    }
    const source = this.#registryDocuments(reference, [origin])
    const top = await this.#top(reference, signal)
    const resolved = await this.#fromDescriptor(top, source, platform, signal)
    const storedAt = new Date(this.#parts.nowMs()).toISOString()
    const { mediaType, digest, sizeBytes } = top
    const isBase = this.#parts.isForBuild && (known === undefined || known.isBase === true)
    const target = { mediaType, digest, sizeBytes }
    await this.#parts.images.put({ name, target, storedAt, isBase, origins: [origin] }, signal)
    return resolved
  }

  /** The manifest or index of a name, from the store when a digest says which one it is. */
  async #top(reference: Reference, signal: AbortSignal): Promise<Descriptor> {
    const { blobs, registry, limits } = this.#parts
    const pinned =
      reference.digest && (await blobs.find(reference.digest, MANIFEST_BYTES_MAX, signal))
    if (reference.digest !== undefined && pinned !== undefined) {
      const parsed = parseManifest(pinned, undefined)
      const { mediaType } = parsed.kind === 'index' ? parsed.index : parsed.manifest
      return { mediaType, digest: reference.digest, sizeBytes: pinned.byteLength }
    }
    // What the store has is asked for by HEAD: hubs count each GET against a limit (row R37).
    const stored = await this.#parts.images.get(formatReference(reference))
    const readManifest = async (digest: Digest): Promise<Uint8Array | undefined> =>
      await blobs.find(digest, MANIFEST_BYTES_MAX, signal)
    const fetched: ManifestBytes = await limits.network(async () =>
      (await registry()).fetchManifest(reference, {
        signal,
        ...(stored === undefined ? {} : { readManifest }),
      }),
    )
    await blobs.ingestBytes(fetched.bytes, signal)
    return {
      mediaType: fetched.mediaType,
      digest: fetched.digest,
      sizeBytes: fetched.bytes.byteLength,
    }
  }

  async #fromDescriptor(
    top: Descriptor,
    source: DocumentSource,
    platform: Platform,
    signal: AbortSignal,
  ): Promise<ResolvedImage> {
    let descriptor = top
    let parsed = parseManifest(await source.read(top, MANIFEST_BYTES_MAX, signal), top.mediaType)
    // An index may hold indexes; two levels are all that anybody uses, and a bound keeps a loop from being built.
    for (let depth = 0; parsed.kind === 'index' && depth < 3; depth += 1) {
      descriptor = choosePlatform(parsed.index.manifests, platform, source.name)
      parsed = parseManifest(
        await source.read(descriptor, MANIFEST_BYTES_MAX, signal),
        descriptor.mediaType,
      )
    }
    if (parsed.kind === 'index') {
      throw new BuildError(
        'image-missing',
        `could not use image ${source.name}: its indexes are nested too deeply`,
      )
    }
    const { manifest } = parsed
    const config = parseImageConfig(await source.read(manifest.config, CONFIG_BYTES_MAX, signal))
    if (config.rootfs.diff_ids.length !== manifest.layers.length) {
      throw new BuildError(
        'image-missing',
        `could not use image ${source.name}: its manifest has ${manifest.layers.length} layers, its config ${config.rootfs.diff_ids.length}`,
      )
    }
    const { name: reference, origins, layout } = source
    return { handle: descriptor.digest, reference, manifest, config, origins, layout }
  }

  #registryDocuments(reference: Reference, origins: readonly LayerOrigin[]): DocumentSource {
    const { blobs, registry, limits } = this.#parts
    return {
      name: formatReference(reference),
      origins,
      layout: undefined,
      read: async (descriptor, sizeBytesMax, signal) => {
        const stored = await blobs.find(descriptor.digest, sizeBytesMax, signal)
        if (stored !== undefined) {
          return stored
        }
        const { registry: host, repository } = origins[0] ?? reference
        const place: Reference = {
          registry: host,
          repository,
          tag: undefined,
          digest: descriptor.digest,
        }
        const bytes = await limits.network(async () =>
          isDocument(descriptor)
            ? (await (await registry()).fetchManifest(place, { signal })).bytes
            : await (await registry()).fetchBytes(place, descriptor, sizeBytesMax, { signal }),
        )
        const digest = await blobs.ingestBytes(bytes, signal)
        if (digest !== descriptor.digest) {
          throw new BuildError(
            'image-missing',
            `could not use image ${formatReference(reference)}: ${descriptor.digest} has other bytes (${digest})`,
          )
        }
        return bytes
      },
    }
  }
}

/** The filesystem of an image as layers that are fetched when somebody needs them. */
export function stackOf(image: ResolvedImage): LayerStack {
  const { diff_ids: diffIds } = image.config.rootfs
  return image.manifest.layers.map((descriptor, index) => {
    const diffId = diffIds[index]
    if (diffId === undefined) {
      throw new RangeError(`image ${image.reference} has no diffId for layer ${index}`)
    }
    if (compressionOf(descriptor.mediaType) === undefined) {
      throw new BuildError(
        'unsupported',
        `could not use image ${image.reference}: layer ${descriptor.digest} has the unknown type ${descriptor.mediaType}`,
      )
    }
    return BuildLayer.ofBase(image.reference, diffId, {
      descriptor,
      origins: image.origins,
      file: image.layout?.blobPath(descriptor.digest),
    })
  })
}

function isDocument(descriptor: Descriptor): boolean {
  return /manifest|index/.test(descriptor.mediaType)
}
