import type { BuildResult } from '../image/built-image.ts'
import type { ImageStore } from '../image/image-store.ts'
import type { LayerFormat } from '../request.ts'
import type { Exporter, ExportOutcome, ExportServices } from './exporter.ts'
import { rootManifest } from './layout-files.ts'

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
  readonly #parts: StoreParts

  constructor(
    options: { readonly format: LayerFormat; readonly names: readonly string[] },
    parts: StoreParts,
  ) {
    this.format = options.format
    this.#names = options.names
    this.#parts = parts
  }

  async export(
    result: BuildResult,
    services: ExportServices,
    signal: AbortSignal,
  ): Promise<ExportOutcome> {
    const step = services.steps.start('exporting to image')
    try {
      await storeResult(result, this.#names, this.#parts, signal)
      step.end('done')
    } catch (error) {
      step.end('failed', error instanceof Error ? error.message : String(error))
      throw error
    }
    return { digest: rootManifest(result).digest, names: this.#names }
  }
}

/** Names come last: a name never leads to a manifest that is not there. */
export async function storeResult(
  result: BuildResult,
  names: readonly string[],
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
      .flatMap((layer) => layer.origins)
      .map((origin) => [`${origin.registry}/${origin.repository}`, origin]),
  )
  const stored = {
    target: { mediaType: root.mediaType, digest: root.digest, sizeBytes: root.bytes.byteLength },
    storedAt: new Date(nowMs()).toISOString(),
    origins: [...origins.values()],
  }
  for (const name of names.length === 0 ? [undefined] : names) {
    await images.put({ ...stored, name })
  }
}
