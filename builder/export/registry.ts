import type { RegistryClient } from '../../registry-client/index.ts'
import {
  type Descriptor,
  familiarReference,
  formatReference,
  type ManifestBytes,
  type Reference,
} from '../../registry-client/oci/index.ts'
import { errnoOf } from '../../snapshotter/index.ts'
import type { BuildResult, BuiltImage, ImageLayer } from '../image/built-image.ts'
import type { LayerFormat } from '../request.ts'
import type { Step } from '../solver/steps.ts'
import type { Exporter, ExportOutcome, ExportServices, GrowingLayer } from './exporter.ts'
import { type Pause, systemPause } from './growing-file.ts'
import { LayerUploads, type LayerUploadClient, type UploadSurroundings } from './layer-uploads.ts'
import { configBytes, rootManifest } from './layout-files.ts'
import type { PushClient } from './push-layer.ts'
import { type PushTarget, pushTargets, repositoryNames } from './push-targets.ts'

export interface RegistryExporterOptions {
  readonly format: LayerFormat
  /** Normalised, at least one. */
  readonly names: readonly string[]
  /** Tags stay untouched (features row R48). */
  readonly pushByDigest: boolean
  /** Bytes of configs that were not built here. */
  readonly configOf?: (image: BuiltImage) => Uint8Array
}

type RegistryPushClient = LayerUploadClient & Pick<RegistryClient, 'checkPush' | 'pushManifest'>

/**
 * Pushes the result (features rows C65, R42-R52). Layers go up as soon as they are ready, while the build still runs, large ones
 * while they are packed; then configs, manifests, the index, and tags last, so that a name never leads to something incomplete.
 * A registry that fails does not keep the others from getting theirs. Errors: those of the registry client.
 */
export class RegistryExporter implements Exporter {
  readonly format: LayerFormat
  readonly #options: RegistryExporterOptions
  readonly #client: () => Promise<RegistryPushClient>
  readonly #targets: readonly PushTarget[]
  readonly #layers: LayerUploads
  #step: Step | undefined

  /** `pause`: between looks at a layer that is being packed. */
  constructor(
    options: RegistryExporterOptions,
    client: () => Promise<RegistryPushClient>,
    pause: Pause = systemPause,
  ) {
    this.format = options.format
    this.#options = options
    this.#client = client
    this.#targets = pushTargets(options.names)
    this.#layers = new LayerUploads(this.#targets, { client, pause })
  }

  /** That nowhere it may be pushed to (features row R50). A registry that is only down may be up at the end. */
  async check(signal: AbortSignal): Promise<void> {
    const client = await this.#client()
    const places = this.#targets.map(({ names: [name], registry, repository }) =>
      client.checkPush(name ?? { registry, repository, tag: undefined, digest: undefined }, {
        signal,
      }),
    )
    const settled = await Promise.allSettled(places)
    const refusals = settled.filter((one) => one.status === 'rejected' && isRefusal(one.reason))
    const [first] = refusals
    if (first?.status === 'rejected' && refusals.length === settled.length) throw first.reason
  }

  layerGrowing(layer: GrowingLayer, services: ExportServices, signal: AbortSignal): void {
    this.#layers.growing(layer, this.#about(services, signal))
  }

  layerReady(layer: ImageLayer, services: ExportServices, signal: AbortSignal): void {
    const about = this.#about(services, signal)
    for (const target of this.#targets) {
      // Thrown again by `export`, which waits for the same promise.
      this.#layers.upload(layer, target, about).catch(() => undefined)
    }
  }

  async export(
    result: BuildResult,
    services: ExportServices,
    signal: AbortSignal,
  ): Promise<ExportOutcome> {
    const step = this.#begin(services, signal)
    try {
      const [settled] = await Promise.all([
        Promise.allSettled(
          this.#targets.map((target) => this.#push(result, target, services, signal)),
        ),
        this.#layers.endRest(),
      ])
      const failures = settled.flatMap((one) =>
        one.status === 'rejected' ? [one.reason as unknown] : [],
      )
      if (failures.length > 0) {
        this.#tellWhatSucceeded(settled, services)
        throw failures[0]
      }
      step.end('done')
    } catch (error) {
      this.#step = undefined
      step.end(
        signal.aborted ? 'canceled' : 'failed',
        error instanceof Error ? error.message : String(error),
      )
      throw error
    }
    const { names, pushByDigest } = this.#options
    return {
      digest: rootManifest(result).digest,
      names: pushByDigest ? repositoryNames(names) : names,
    }
  }

  async abandon(): Promise<void> {
    await this.#layers.abandon()
  }

  #about(services: ExportServices, signal: AbortSignal): UploadSurroundings {
    return { step: () => this.#begin(services, signal), services, signal }
  }

  #begin(services: ExportServices, signal: AbortSignal): Step {
    if (this.#step === undefined) {
      const step = services.steps.start(
        `pushing ${this.#targets.map(({ registry, repository }) => `${registry}/${repository}`).join(', ')}`,
      )
      // `export` is not called when the build fails meanwhile.
      signal.addEventListener(
        'abort',
        () => {
          step.end('canceled')
          this.#step = undefined
        },
        { once: true },
      )
      this.#step = step
    }
    return this.#step
  }

  /** Blobs side by side, then manifests, then names. */
  async #push(
    result: BuildResult,
    target: PushTarget,
    services: ExportServices,
    signal: AbortSignal,
  ): Promise<void> {
    const { registry, repository } = target
    const place: Reference = { registry, repository, tag: undefined, digest: undefined }
    const client = await this.#client()
    const configOf = this.#options.configOf ?? configBytes
    const about = this.#about(services, signal)
    await Promise.all(
      result.images.flatMap((image) => [
        ...image.layers.map((layer) => this.#layers.upload(layer, target, about)),
        client.pushBlob(place, bytesSource(image.configDescriptor, configOf(image)), { signal }),
      ]),
    )
    const names = this.#options.pushByDigest ? [] : target.names
    const root = rootManifest(result)
    for (const { manifest } of result.images) {
      // A name brings the manifest with it.
      if (manifest.digest === root.digest && names.length > 0) continue
      await client.pushManifest({ ...place, digest: manifest.digest }, manifest, { signal })
    }
    if (result.index !== undefined && names.length === 0) {
      await client.pushManifest({ ...place, digest: root.digest }, root, { signal })
    }
    const step = this.#begin(services, signal)
    for (const name of names) {
      await client.pushManifest({ ...name, digest: undefined }, root, { signal })
      tellManifest(step, familiarReference(name), root)
    }
    if (names.length === 0) {
      tellManifest(step, `${registry}/${repository}`, root)
    }
  }

  #tellWhatSucceeded(
    settled: readonly PromiseSettledResult<void>[],
    services: ExportServices,
  ): void {
    for (const [position, one] of settled.entries()) {
      if (one.status === 'fulfilled') {
        const names = this.#targets[position]?.names.map(formatReference) ?? []
        services.steps.notice(`pushed ${names.join(', ')}; other names failed`)
      }
    }
  }
}

/** Accounts and projects do not come into being while a build runs. */
const REFUSALS: ReadonlySet<unknown> = new Set(['unauthorized', 'denied', 'not-found'])

function isRefusal(error: unknown): boolean {
  return REFUSALS.has(errnoOf(error))
}

function tellManifest(step: Step, name: string, root: ManifestBytes): void {
  step.progress(`pushing manifest for ${name}@${root.digest}`, {
    currentBytes: 0,
    totalBytes: undefined,
    isDone: true,
  })
}

function bytesSource(
  descriptor: Descriptor,
  bytes: Uint8Array,
): Parameters<PushClient['pushBlob']>[1] {
  return {
    descriptor,
    open: async function* (startByte) {
      yield bytes.subarray(startByte)
    },
  }
}
