import type { RegistryClient } from '../../registry-client/index.ts'
import {
  type Descriptor,
  familiarReference,
  formatReference,
  type ManifestBytes,
  parseReference,
  type Reference,
} from '../../registry-client/oci/index.ts'
import type { BuildResult, BuiltImage, ImageLayer } from '../image/built-image.ts'
import type { LayerFormat } from '../request.ts'
import type { Step } from '../solver/steps.ts'
import type { Exporter, ExportOutcome, ExportServices } from './exporter.ts'
import { configBytes, rootManifest } from './layout-files.ts'
import { pushLayer, type PushClient } from './push-layer.ts'

export interface RegistryExporterOptions {
  readonly format: LayerFormat
  /** Normalised, at least one. */
  readonly names: readonly string[]
  /** Tags stay untouched (features row R48). */
  readonly pushByDigest: boolean
  /** Bytes of configs that were not built here. */
  readonly configOf?: (image: BuiltImage) => Uint8Array
}

/** A repository that is pushed to, with the names that lie in it. */
interface Target {
  readonly registry: string
  readonly repository: string
  readonly names: readonly Reference[]
}

/**
 * Pushes the result (features rows C65, R42-R52). Layers go up as soon as they are ready, while the build still runs; then configs,
 * manifests, the index, and tags last, so that a name never leads to something incomplete. A registry that fails does
 * not keep the others from getting theirs. Errors: those of the registry client.
 */
export class RegistryExporter implements Exporter {
  readonly format: LayerFormat
  readonly #options: RegistryExporterOptions
  readonly #client: () => Promise<PushClient & Pick<RegistryClient, 'pushManifest'>>
  readonly #targets: readonly Target[]
  /** By layer digest: settles when every repository has the layer. */
  readonly #uploads = new Map<string, Promise<void>>()
  #step: Step | undefined

  constructor(
    options: RegistryExporterOptions,
    client: () => Promise<PushClient & Pick<RegistryClient, 'pushManifest'>>,
  ) {
    this.format = options.format
    this.#options = options
    this.#client = client
    this.#targets = targetsOf(options.names)
  }

  layerReady(layer: ImageLayer, services: ExportServices, signal: AbortSignal): void {
    // Thrown again by `export`, which waits for the same promise.
    this.#upload(layer, services, signal).catch(() => undefined)
  }

  async export(
    result: BuildResult,
    services: ExportServices,
    signal: AbortSignal,
  ): Promise<ExportOutcome> {
    const step = this.#begin(services, signal)
    try {
      const layers = result.images.flatMap((image) => image.layers)
      await Promise.all(layers.map((layer) => this.#upload(layer, services, signal)))
      const settled = await Promise.allSettled(
        this.#targets.map((target) => this.#finish(result, target, step, signal)),
      )
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
    return { digest: rootManifest(result).digest, names: this.#options.names }
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

  #upload(layer: ImageLayer, services: ExportServices, signal: AbortSignal): Promise<void> {
    const { digest } = layer.descriptor
    const known = this.#uploads.get(digest)
    if (known !== undefined) {
      return known
    }
    const step = this.#begin(services, signal)
    const upload = this.#uploadToAll(layer, step, services, signal)
    this.#uploads.set(digest, upload)
    // A build that begins again (a cached layer was none) aborted it; `export` asks again.
    upload.catch(() => this.#uploads.delete(digest))
    return upload
  }

  /** Registries side by side; within one, the second repository mounts from the first. */
  async #uploadToAll(
    layer: ImageLayer,
    step: Step,
    services: ExportServices,
    signal: AbortSignal,
  ): Promise<void> {
    const client = await this.#client()
    await Promise.all(
      [...new Set(this.#targets.map(({ registry }) => registry))].map(async (registry) => {
        const holders: string[] = []
        for (const { repository } of this.#targets.filter(
          (target) => target.registry === registry,
        )) {
          await pushLayer(client, { layer, registry, repository, holders, step, services, signal })
          holders.push(repository)
        }
      }),
    )
  }

  /** Everything after the layers. */
  async #finish(
    result: BuildResult,
    target: Target,
    step: Step,
    signal: AbortSignal,
  ): Promise<void> {
    const client = await this.#client()
    const place: Reference = {
      registry: target.registry,
      repository: target.repository,
      tag: undefined,
      digest: undefined,
    }
    const configOf = this.#options.configOf ?? configBytes
    for (const image of result.images) {
      await client.pushBlob(place, bytesSource(image.configDescriptor, configOf(image)), { signal })
      await client.pushManifest({ ...place, digest: image.manifest.digest }, image.manifest, {
        signal,
      })
    }
    const root = rootManifest(result)
    if (result.index !== undefined) {
      await client.pushManifest({ ...place, digest: root.digest }, root, { signal })
    }
    for (const name of this.#options.pushByDigest ? [] : target.names) {
      await client.pushManifest({ ...name, digest: undefined }, root, { signal })
      tellManifest(step, familiarReference(name), root)
    }
    if (this.#options.pushByDigest) {
      tellManifest(step, `${target.registry}/${target.repository}`, root)
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

function targetsOf(names: readonly string[]): Target[] {
  const targets = new Map<string, { registry: string; repository: string; names: Reference[] }>()
  for (const name of names.map(parseReference)) {
    const key = `${name.registry}/${name.repository}`
    const target = targets.get(key) ?? {
      registry: name.registry,
      repository: name.repository,
      names: [],
    }
    target.names.push(name)
    targets.set(key, target)
  }
  return [...targets.values()]
}
