import type { BuildGraph, NodeId } from '../frontend/index.ts'
import type { Store } from '../snapshotter/index.ts'
import type { Descriptor } from '../registry-client/oci/index.ts'
import type { Exporter, ExportOutcome, ExportServices, GrowingLayer } from './export/exporter.ts'
import { FORMAT_DEFAULT, READ_BACK_FORMAT } from './export/layer-formats.ts'
import { toldOutput } from './export/metadata.ts'
import { assembleResult, type FinishedPlatform, type ImageFormat } from './image/assemble.ts'
import type { BuildResult, ImageLayer } from './image/built-image.ts'
import type { ImageResolver } from './ops/image.ts'
import type { LayerAccess } from './ops/layer-access.ts'
import type { LayerVariants } from './ops/layer-variant.ts'
import type { AnnotationRequest, BuildRequest, LayerFormat } from './request.ts'
import type { BuildLayer, LayerStack } from './solver/layer.ts'
import type { StepReporter } from './solver/steps.ts'
import { isMultiPlatform } from './steering-args.ts'

export interface BuildExportsParts {
  readonly request: BuildRequest
  readonly exporters: readonly Exporter[]
  readonly store: Pick<Store, 'blobs'>
  readonly access: LayerAccess
  readonly variants: LayerVariants
  readonly resolver: ImageResolver
  readonly steps: StepReporter
  readonly epochSec: number | undefined
}

/** A platform whose filesystem is done. */
export interface SolvedPlatform {
  readonly graph: BuildGraph
  readonly layers: LayerStack
  /** The stack after each node that history entries name. */
  readonly stacks: ReadonlyMap<NodeId, LayerStack>
}

/** Hands layers to the exporters as they become known, and at the end the result, in the format each one asked for. */
export class BuildExports {
  readonly #parts: BuildExportsParts
  readonly #services: ExportServices
  /** Layers that exporters were told of, by diffId, so that `ensureBlob` finds where they come from. */
  readonly #layers = new Map<string, BuildLayer>()

  constructor(parts: BuildExportsParts) {
    this.#parts = parts
    this.#services = {
      steps: parts.steps,
      ensureBlob: (layer, signal) =>
        parts.access.blobFile(this.#known(layer), layer.descriptor.digest, signal),
    }
  }

  /**
   * The format that new layers are packed in: the first that an output wants, so that nothing is written twice. Outputs that
   * read layers back take it as well.
   */
  get packFormat(): LayerFormat {
    const formats = this.#active().map(({ format }) => format)
    const wanted = formats.find((format) => format !== 'any')
    return wanted ?? (formats.length === 0 ? FORMAT_DEFAULT : READ_BACK_FORMAT)
  }

  get services(): ExportServices {
    return this.#services
  }

  /** Throws when an output can be seen to fail at the end. */
  async check(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#active().map(async (exporter) => exporter.check?.(signal)))
  }

  /** Layers in the form that a cache wants. */
  async inFormat(
    layers: readonly BuildLayer[],
    format: LayerFormat,
    signal: AbortSignal,
  ): Promise<ImageLayer[]> {
    return await Promise.all(layers.map((layer) => this.#variant(layer, format, signal)))
  }

  /** A layer of the result: told to the exporters while it is packed and once it is. Resolves when they all know. */
  async announce(layer: BuildLayer, signal: AbortSignal): Promise<void> {
    const listeners = this.#active().filter((exporter) => exporter.layerReady !== undefined)
    await Promise.all(
      listeners.map(async (exporter) => {
        const format = this.#layerFormatOf(exporter)
        const growing = this.#growing(layer, format, signal)
        if (growing !== undefined) exporter.layerGrowing?.(growing, this.#services, signal)
        const ready = await this.#variant(layer, format, signal)
        exporter.layerReady?.(ready, this.#services, signal)
      }),
    )
  }

  /** Writes the images in the format of each exporter, with further annotations, and exports them. */
  async finish(
    platforms: readonly SolvedPlatform[],
    annotations: readonly AnnotationRequest[],
    signal: AbortSignal,
  ): Promise<{
    readonly result: BuildResult
    readonly exports: readonly (ExportOutcome | undefined)[]
  }> {
    const finished = await Promise.all(platforms.map((platform) => this.#finishPlatform(platform)))
    const results = new Map<string, Promise<BuildResult>>()
    const resultFor = (exporter: Exporter | undefined): Promise<BuildResult> => {
      const format = this.#formatOf(exporter, annotations)
      const key = JSON.stringify(format)
      const result = results.get(key) ?? this.#assemble(platforms, finished, format, signal)
      results.set(key, result)
      return result
    }
    const exports = await Promise.all(
      this.#parts.exporters.map(async (exporter) =>
        exporter.isEmpty === true
          ? undefined
          : await exporter.export(await resultFor(exporter), this.#services, signal),
      ),
    )
    const told = this.#parts.exporters[toldOutput(exports)] ?? this.#active()[0]
    return { result: await resultFor(told), exports }
  }

  /** After a failure that aborted the signals: resolves when exporters have ended what they had begun. */
  async abandon(): Promise<void> {
    await Promise.all(this.#active().map(async (exporter) => exporter.abandon?.()))
  }

  #active(): Exporter[] {
    return this.#parts.exporters.filter((exporter) => exporter.isEmpty !== true)
  }

  #layerFormatOf({ format }: Exporter): LayerFormat {
    return format === 'any' ? this.packFormat : format
  }

  #formatOf(
    exporter: Exporter | undefined,
    annotations: readonly AnnotationRequest[],
  ): ImageFormat {
    const { request } = this.#parts
    return {
      format: exporter === undefined ? FORMAT_DEFAULT : this.#layerFormatOf(exporter),
      annotations: [...(exporter?.annotations ?? []), ...annotations],
      isIndexForced: isMultiPlatform(request),
    }
  }

  async #finishPlatform({ graph, layers, stacks }: SolvedPlatform): Promise<FinishedPlatform> {
    const base = graph.base === undefined ? undefined : graph.nodes[graph.base]
    const image = base?.kind === 'image' ? this.#parts.resolver.byHandle(base.resolved) : undefined
    const layerTimes = new Map<NodeId, string | undefined>()
    for (const [node, stack] of stacks) {
      layerTimes.set(node, (await stack.at(-1)?.packing)?.createdAt)
    }
    return {
      graph,
      layers: await Promise.all(layers.map((layer) => layer.packing)),
      base: {
        history: image?.config.history ?? [],
        created: image?.config.created,
        layerCount: image?.config.rootfs.diff_ids.length ?? 0,
      },
      layerTimes,
    }
  }

  async #assemble(
    platforms: readonly SolvedPlatform[],
    finished: readonly FinishedPlatform[],
    format: ImageFormat,
    signal: AbortSignal,
  ): Promise<BuildResult> {
    const images = await Promise.all(
      platforms.map(({ layers }) =>
        Promise.all(layers.map((layer) => this.#variant(layer, format.format, signal))),
      ),
    )
    const both = finished.map((one, index) => ({ finished: one, layers: images[index] ?? [] }))
    return await assembleResult(both, format, async (bytes) => {
      await this.#parts.store.blobs.ingestBytes(bytes, signal)
    })
  }

  async #variant(layer: BuildLayer, format: LayerFormat, signal: AbortSignal): Promise<ImageLayer> {
    const ready = await this.#parts.variants.variant(
      layer,
      { format, epochSec: this.#parts.epochSec },
      signal,
    )
    this.#layers.set(ready.diffId, layer)
    return ready
  }

  /** Undefined where nothing is packed, or what is packed is not what the output gets. */
  #growing(
    { title, beingPacked }: BuildLayer,
    format: LayerFormat,
    signal: AbortSignal,
  ): GrowingLayer | undefined {
    if (beingPacked === undefined) return undefined
    const { blob } = beingPacked
    const { compression, level } = blob.form
    const isRewritten = format.rewriteTimestamp && this.#parts.epochSec !== undefined
    if (isRewritten || compression !== format.compression || level !== format.level)
      return undefined
    const likely = async (): Promise<Descriptor | undefined> => {
      const diffId = await beingPacked.likely()
      return diffId && (await this.#parts.variants.known(diffId, format, signal))
    }
    return { title, blob, likely }
  }

  #known(layer: ImageLayer): BuildLayer {
    const known = this.#layers.get(layer.diffId)
    if (known === undefined) {
      throw new RangeError(`layer ${layer.diffId} is not part of this build`)
    }
    return known
  }
}
