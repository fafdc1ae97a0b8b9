import { parseReference } from '../../registry-client/oci/index.ts'
import type { BuildResult, ImageLayer } from '../image/built-image.ts'
import type { ImageStore } from '../image/image-store.ts'
import type { LayerFormat } from '../request.ts'
import type { LayerOrigin } from '../solver/layer.ts'
import type { Exporter, ExportOutcome, ExportServices } from './exporter.ts'
import { prefetchBlob, rootManifest } from './layout-files.ts'
import { imageIdOf } from './metadata.ts'
import { repositoryNames } from './push-targets.ts'
import { tellFact, tellManifests } from './told-facts.ts'

export interface StoreParts {
  readonly images: Pick<ImageStore, 'put'>
  /** For manifests: configs and layers are there already. */
  readonly blobs: { ingestBytes(bytes: Uint8Array, signal: AbortSignal): Promise<unknown> }
  readonly nowMs: () => number
}

/** Puts the result into the local image store under its names, or without one. */
export class StoreExporter implements Exporter {
  readonly format: LayerFormat
  readonly #names: readonly string[]
  readonly #isPushed: boolean
  readonly #isByDigest: boolean
  readonly #parts: StoreParts

  /**
   * `push`: the names are pushed too, so layers can be had from there. `pushByDigest`: the image gets the name that it has
   * there, with its digest; a tag of the same repository stays with the image that has it.
   */
  constructor(
    options: {
      readonly format: LayerFormat
      readonly names: readonly string[]
      readonly push?: boolean
      readonly pushByDigest?: boolean
    },
    parts: StoreParts,
  ) {
    this.format = options.format
    this.#names = options.names
    this.#isPushed = options.push ?? false
    this.#isByDigest = options.pushByDigest ?? false
    this.#parts = parts
  }

  layerReady(layer: ImageLayer, services: ExportServices, signal: AbortSignal): void {
    if (layer.isInCache === true && !this.#isPushed) {
      prefetchBlob(layer, services, signal)
    }
  }

  async export(
    result: BuildResult,
    services: ExportServices,
    signal: AbortSignal,
  ): Promise<ExportOutcome> {
    const { digest } = rootManifest(result)
    const names = this.#isByDigest
      ? repositoryNames(this.#names).map((name) => `${name}@${digest}`)
      : this.#names
    await services.steps.during('exporting to image', signal, async (step) => {
      if (!this.#isPushed) {
        await fetchCached(result, services, signal)
      }
      const origins = this.#isPushed ? this.#names.map(originOf) : []
      await storeResult(result, { names, origins }, this.#parts, signal)
      tellManifests(step, result)
      tellFact(step, `writing image ${imageIdOf(result)}`)
      for (const name of names) {
        tellFact(step, `naming to ${name}`)
      }
    })
    return { digest, names: this.#isByDigest ? repositoryNames(this.#names) : names }
  }
}

/** A remote cache may be gone tomorrow: an image with a name here has its own layers here. */
export async function fetchCached(
  result: BuildResult,
  services: ExportServices,
  signal: AbortSignal,
): Promise<void> {
  const layers = result.images.flatMap((image) => image.layers)
  await Promise.all(
    layers.filter((layer) => layer.isInCache).map((layer) => services.ensureBlob(layer, signal)),
  )
}

function originOf(name: string): LayerOrigin {
  const { registry, repository } = parseReference(name)
  return { registry, repository }
}

/** Names come last: a name never leads to a manifest that is not there. */
export async function storeResult(
  result: BuildResult,
  { names, origins: own }: { readonly names: readonly string[]; readonly origins: LayerOrigin[] },
  { images, blobs, nowMs }: StoreParts,
  signal: AbortSignal,
): Promise<void> {
  for (const image of result.images) {
    await blobs.ingestBytes(image.manifest.bytes, signal)
  }
  const root = rootManifest(result)
  await blobs.ingestBytes(root.bytes, signal)
  const origins = new Map(
    result.images
      .flatMap((image) => image.layers)
      .filter((layer) => layer.isInCache !== true)
      .flatMap((layer) => layer.origins)
      .concat(own)
      .map((origin) => [`${origin.registry}/${origin.repository}`, origin]),
  )
  const stored = {
    target: { mediaType: root.mediaType, digest: root.digest, sizeBytes: root.bytes.byteLength },
    storedAt: new Date(nowMs()).toISOString(),
    origins: [...origins.values()],
  }
  for (const name of names.length === 0 ? [undefined] : names) {
    await images.put({ ...stored, name }, signal)
  }
}
