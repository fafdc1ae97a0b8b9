import type { Compression, Digest } from '../../registry-client/oci/index.ts'
import type { LayerBlob, Store } from '../../snapshotter/index.ts'
import { BuildError } from '../errors.ts'
import { compressionOf } from '../image/manifest.ts'
import type { BuildLayer, LayerOrigin } from '../solver/layer.ts'
import type { Limits } from '../solver/limits.ts'
import type { StepReporter } from '../solver/steps.ts'
import { FileSink, type RegistryOpener } from './image-source.ts'
import { type SharedStep, SharedSteps } from './shared-steps.ts'

export interface LayerFetcherParts {
  readonly store: Pick<Store, 'blobs' | 'layers' | 'lease'>
  readonly registry: RegistryOpener
  readonly limits: Limits
  readonly steps: Pick<StepReporter, 'start'>
}

/** Where the bytes of a blob are while it is being downloaded. */
export interface BlobInTransit {
  readonly blob: LayerBlob
  readonly file: string
}

/** Told of a download that begins; again, with another file, when it begins anew at another place. */
export type BlobArrival = (transit: BlobInTransit) => void

/** Printers show a rate; more events than this a second only cost time. */
const PROGRESS_INTERVAL_MS = 100

/**
 * Brings blobs of base and cached layers into the store: verified as they arrive, several side by side, from the first registry
 * that has them. All downloads of one image are one step of progress.
 */
export class LayerFetcher {
  readonly #parts: LayerFetcherParts
  readonly #steps: SharedSteps

  constructor(parts: LayerFetcherParts) {
    this.#parts = parts
    this.#steps = new SharedSteps(parts.steps)
  }

  /**
   * A cached layer is not recorded: whether the blob is that layer, only its tar can tell. Errors: `layer-missing` when nobody has it, those of the registry
   * client, `blob-mismatch`. `onArrival` is not called when the blob is here already.
   */
  async fetch(layer: BuildLayer, signal: AbortSignal, onArrival?: BlobArrival): Promise<LayerBlob> {
    const { remote } = layer
    if (remote === undefined) {
      throw new TypeError(`layer ${layer.title} lies nowhere else`)
    }
    const { digest, sizeBytes } = remote.descriptor
    const { blobs, layers } = this.#parts.store
    const blob = {
      digest,
      sizeBytes,
      compression: compressionFor(remote.descriptor.mediaType),
      engine: undefined,
    }
    if (!(await blobs.has({ digest, sizeBytes }, signal))) {
      if (remote.file === undefined) {
        await this.#download(layer, blob, { onArrival, signal })
      } else {
        await blobs.ingest(remote.file, { digest, sizeBytes }, signal)
      }
    }
    if (layer.base !== undefined) {
      await layers.record((await layer.packing).diffId, { blob }, signal)
    }
    return blob
  }

  async #download(
    layer: BuildLayer,
    blob: LayerBlob,
    { onArrival, signal }: { readonly onArrival?: BlobArrival | undefined; signal: AbortSignal },
  ): Promise<void> {
    const { registry, limits, store } = this.#parts
    const { digest, sizeBytes } = blob
    const { descriptor, origins } = layer.remote ?? { origins: [] }
    if (descriptor === undefined || origins.length === 0) {
      throw new BuildError(
        'layer-missing',
        `could not use image ${layer.title}: layer ${digest} is not in the store and the image came from no registry; build or load it again`,
      )
    }
    await limits.network(async () => {
      const client = await registry()
      const title = layer.base === undefined ? 'cached layers' : layer.title
      const step = this.#steps.join(`pulling ${title}`)
      try {
        const onProgress = progressOf(step, digest, sizeBytes)
        const temporary = await firstOf(origins, async (origin) => {
          const path = store.lease.temporaryPath('layer')
          const sink = await FileSink.create(path, `blob ${digest}`)
          onArrival?.({ blob, file: path })
          await client.fetchBlob({ ...origin, tag: undefined, digest }, descriptor, sink, {
            signal,
            onProgress,
          })
          return path
        })
        await store.blobs.adopt(temporary, { digest, sizeBytes }, signal)
        step.progress(digest, { currentBytes: sizeBytes, totalBytes: sizeBytes, isDone: true })
        step.leave('done')
      } catch (error) {
        step.leave(signal.aborted ? 'canceled' : 'failed', error)
        throw error
      }
    })
  }
}

function compressionFor(mediaType: string): Compression {
  const compression = compressionOf(mediaType)
  if (compression === undefined) {
    throw new BuildError(
      'unsupported',
      `could not use a layer of type ${mediaType}: it is none that this version knows`,
    )
  }
  return compression
}

async function firstOf<Value>(
  origins: readonly LayerOrigin[],
  ask: (origin: LayerOrigin) => Promise<Value>,
): Promise<Value> {
  const failures: unknown[] = []
  for (const origin of origins) {
    try {
      return await ask(origin)
    } catch (error) {
      failures.push(error)
    }
  }
  throw failures[0]
}

function progressOf(
  step: SharedStep,
  digest: Digest,
  totalBytes: number,
): (movedBytes: number) => void {
  let lastMs = 0
  return (currentBytes) => {
    const nowMs = performance.now()
    if (nowMs - lastMs >= PROGRESS_INTERVAL_MS) {
      lastMs = nowMs
      step.progress(digest, { currentBytes, totalBytes, isDone: false })
    }
  }
}
