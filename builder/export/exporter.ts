import type { Descriptor, Digest } from '../../registry-client/oci/index.ts'
import type { BuildResult, ImageLayer } from '../image/built-image.ts'
import type { AnnotationRequest, LayerFormat } from '../request.ts'
import type { GrowingBlob } from '../solver/growing-blob.ts'
import type { StepReporter } from '../solver/steps.ts'

/** A layer that is being packed in the form that an output wants. */
export interface GrowingLayer {
  /** Of its step. */
  readonly title: string
  readonly blob: GrowingBlob
  /** The blob that it is likely to be; undefined: nobody knows. */
  readonly likely: () => Promise<Descriptor | undefined>
}

/**
 * One output of a build. `build` calls `layerReady` for each layer of the result as soon as it is known, in no
 * particular order, and `export` once at the end. When the build fails, `export` is never called and `signal` of
 * the early calls is aborted.
 */
export interface Exporter {
  /**
   * How this output wants new layers. Outputs with equal formats share one BuildResult; for others one is made
   * for each. `any`: it reads layers back (`local`, `tar`).
   */
  readonly format: LayerFormat | 'any'
  /** They are part of the manifests that this output gets. */
  readonly annotations?: readonly AnnotationRequest[]
  /** True when nothing of the image is needed (`cacheonly`): layers are not packed for it and `export` is not called. */
  readonly isEmpty?: boolean
  /**
   * Called when steps begin: throws when it is plain already that nothing can be exported, before hours are spent.
   */
  check?(signal: AbortSignal): Promise<void>
  /** A layer of the result that is still being packed; once it is, `layerReady` is called for it, unless the build fails. */
  layerGrowing?(layer: GrowingLayer, services: ExportServices, signal: AbortSignal): void
  /**
   * A layer of the result is decided: a new one is in the blob store, a base layer may still be remote (see
   * `ExportServices.ensureBlob`). May start an upload; a failure of it is kept and thrown by `export`.
   */
  layerReady?(layer: ImageLayer, services: ExportServices, signal: AbortSignal): void
  export(result: BuildResult, services: ExportServices, signal: AbortSignal): Promise<ExportOutcome>
  /** Called when the signals of the calls before were aborted: resolves when what was begun by them is ended elsewhere, too. */
  abandon?(): Promise<void>
}

export interface ExportServices {
  /** Host path of the layer's blob in the store; downloads and verifies it when it is not there yet. */
  ensureBlob(layer: ImageLayer, signal: AbortSignal): Promise<string>
  /** Progress: `steps.start('exporting to image')`, `pushing layers`, ... */
  readonly steps: StepReporter
}

export interface ExportOutcome {
  /** What was exported: manifest, or index. Undefined for outputs without one (`local`, `tar`). */
  readonly digest: Digest | undefined
  /** Names that now point to the result. */
  readonly names: readonly string[]
}
