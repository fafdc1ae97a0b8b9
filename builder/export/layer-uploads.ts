import type { ImageLayer } from '../image/built-image.ts'
import type { Step } from '../solver/steps.ts'
import { EarlyLayers, type EarlyPushClient } from './early-layers.ts'
import type { ExportServices, GrowingLayer } from './exporter.ts'
import type { Pause } from './growing-file.ts'
import { EarlyProgress } from './layer-progress.ts'
import { pushLayer, type PushClient } from './push-layer.ts'
import type { PushTarget } from './push-targets.ts'

export type LayerUploadClient = PushClient & EarlyPushClient

/** What an upload is made in. */
export interface UploadSurroundings {
  /** The step that it is told about; begins when it is asked for. */
  readonly step: () => Step
  readonly services: ExportServices
  readonly signal: AbortSignal
}

/**
 * The layers of one push: each goes once to each repository, whoever asks for it and how often. Registries side by side; within
 * one, the second repository mounts from the first.
 */
export class LayerUploads {
  readonly #targets: readonly PushTarget[]
  readonly #client: () => Promise<LayerUploadClient>
  readonly #early: EarlyLayers
  /** By repository and digest of the layer: settles when it is there. */
  readonly #uploads = new Map<string, Promise<void>>()

  /** `pause`: between looks at a layer that is being packed. */
  constructor(
    targets: readonly PushTarget[],
    parts: { readonly client: () => Promise<LayerUploadClient>; readonly pause: Pause },
  ) {
    this.#targets = targets
    this.#client = parts.client
    this.#early = new EarlyLayers(parts)
  }

  /** Begins to send a layer while it is packed; `upload` ends that. */
  growing(layer: GrowingLayer, { step, signal }: UploadSurroundings): void {
    for (const target of this.#targets) {
      // The others mount it.
      if (this.#sameRegistryBefore(target).length > 0) continue
      this.#early.begin(layer, target, new EarlyProgress(step, layer.title), signal)
    }
  }

  /** Resolves when the repository of `target` has the layer. */
  upload(layer: ImageLayer, target: PushTarget, about: UploadSurroundings): Promise<void> {
    const key = `${target.registry}/${target.repository} ${layer.descriptor.digest}`
    const known = this.#uploads.get(key)
    if (known !== undefined) return known
    const upload = this.#uploadOnce(layer, target, about)
    this.#uploads.set(key, upload)
    // A build that begins again (a cached layer was none) aborted it; `export` asks again.
    upload.catch(() => this.#uploads.delete(key))
    return upload
  }

  /** Cancels what was begun of layers that nobody uploads: all are known. */
  async endRest(): Promise<void> {
    await this.#early.endRest()
  }

  /** Cancels whatever was begun early. */
  async abandon(): Promise<void> {
    await this.#early.abandon()
  }

  async #uploadOnce(
    layer: ImageLayer,
    target: PushTarget,
    about: UploadSurroundings,
  ): Promise<void> {
    const step = about.step()
    const { services, signal } = about
    const { registry, repository } = target
    await using begun = this.#early.take(target, layer.descriptor.digest)
    const holders: string[] = []
    for (const before of this.#sameRegistryBefore(target)) {
      // Why it does not have the layer is told where that repository is pushed to.
      const isThere = await this.upload(layer, before, about).then(
        () => true,
        () => false,
      )
      if (isThere) holders.push(before.repository)
    }
    const client = await this.#client()
    const place = { registry, repository, holders, begun }
    await pushLayer(client, { layer, ...place, step, services, signal })
  }

  #sameRegistryBefore(target: PushTarget): PushTarget[] {
    const before = this.#targets.slice(0, this.#targets.indexOf(target))
    return before.filter(({ registry }) => registry === target.registry)
  }
}
