import type { BuildResult, ImageLayer } from '../image/built-image.ts'
import type { AnnotationRequest, LayerFormat } from '../request.ts'
import type { Exporter, ExportOutcome, ExportServices, GrowingLayer } from './exporter.ts'
import { FORMAT_DEFAULT } from './layer-formats.ts'

/** `type=image`: into the store, to the registry, or both, in this order. One format, so one result serves all. */
export class CombinedExporter implements Exporter {
  readonly format: LayerFormat
  readonly annotations: readonly AnnotationRequest[]
  readonly #parts: readonly Exporter[]

  constructor(
    options: { readonly format: LayerFormat; readonly annotations: readonly AnnotationRequest[] },
    parts: readonly Exporter[],
  ) {
    this.format = options.format
    this.annotations = options.annotations
    this.#parts = parts
  }

  async check(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#parts.map(async (part) => part.check?.(signal)))
  }

  layerReady(layer: ImageLayer, services: ExportServices, signal: AbortSignal): void {
    for (const part of this.#parts) {
      part.layerReady?.(layer, services, signal)
    }
  }

  layerGrowing(layer: GrowingLayer, services: ExportServices, signal: AbortSignal): void {
    for (const part of this.#parts) {
      part.layerGrowing?.(layer, services, signal)
    }
  }

  async abandon(): Promise<void> {
    await Promise.all(this.#parts.map(async (part) => part.abandon?.()))
  }

  async export(
    result: BuildResult,
    services: ExportServices,
    signal: AbortSignal,
  ): Promise<ExportOutcome> {
    const names = new Set<string>()
    let digest: ExportOutcome['digest']
    for (const part of this.#parts) {
      const outcome = await part.export(result, services, signal)
      digest ??= outcome.digest
      for (const name of outcome.names) {
        names.add(name)
      }
    }
    return { digest, names: [...names] }
  }
}

/** `type=cacheonly` (features row C70): the build itself is all. */
export const CACHE_ONLY_EXPORTER: Exporter = {
  format: FORMAT_DEFAULT,
  isEmpty: true,
  export: () => Promise.resolve({ digest: undefined, names: [] }),
}
