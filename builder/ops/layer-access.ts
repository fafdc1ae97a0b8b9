import {
  ContentsPages,
  type Layer,
  type LayerBlob,
  type LayerDirectory,
  type LayerFinder,
  LayerIndex,
  type Store,
} from '../../snapshotter/index.ts'
import type { Digest, DiffId } from '../../registry-client/oci/index.ts'
import { BuildError, CachedLayerUnavailable } from '../errors.ts'
import type { BuildLayer, LayerStack } from '../solver/layer.ts'
import type { Limits } from '../solver/limits.ts'
import { SingleFlight } from '../solver/single-flight.ts'
import type { StepReporter } from '../solver/steps.ts'
import type { Worker } from '../worker/protocol.ts'
import type { BlobArrival } from './fetch-layer.ts'
import { hasAllFiles } from './layer-entries.ts'
import { PendingIndex } from './pending-index.ts'
import { unpackLayer } from './unpack-layer.ts'
import { UnpackReports } from './unpack-reports.ts'

/** Brings the blob of a remote layer into the blob store; records it as that layer's when it is a base layer. */
export type BlobFetcher = (
  layer: BuildLayer,
  signal: AbortSignal,
  onArrival?: BlobArrival,
) => Promise<LayerBlob>

/** Reads a layer's table of contents from its blob, without unpacking; returns the finished file. */
export type ContentsReader = (
  blobPath: string,
  layer: BuildLayer,
  blob: LayerBlob,
  signal: AbortSignal,
) => Promise<string>

export interface LayerAccessParts {
  readonly store: Pick<Store, 'layers' | 'blobs' | 'lease'>
  readonly limits: Limits
  readonly worker: () => Promise<Worker>
  readonly fetchBlob: BlobFetcher
  readonly readContents: ContentsReader
  readonly steps: Pick<StepReporter, 'start'>
}

/**
 * Gives a layer in the form that somebody needs, making it from another form when it is not there: blob, table of
 * contents, directory. Each form is made once, in this process and (unpacking) across processes.
 */
export class LayerAccess {
  readonly #parts: LayerAccessParts & { readonly reports: UnpackReports }
  readonly #blobs = new SingleFlight<LayerBlob>()
  readonly #contents = new SingleFlight<string>()
  readonly #fetched = new SingleFlight<LayerBlob>()
  readonly #intact = new SingleFlight<boolean>()
  readonly #directories = new SingleFlight<LayerDirectory>()
  readonly #indexes = new WeakMap<BuildLayer, Promise<LayerFinder>>()
  /** By diffId: layers whose blobs or tables of contents were asked for. */
  readonly #used = new Map<DiffId, BuildLayer>()
  /** By diffId: layers that were unpacked before, and asked for like that. */
  readonly #foundUnpacked = new Map<DiffId, BuildLayer>()

  constructor(parts: LayerAccessParts) {
    this.#parts = { ...parts, reports: new UnpackReports(parts.steps) }
  }

  /** Some blob of the layer, in the store. Waits for packing. Errors: `layer-missing`, those of the registry. */
  async blob(layer: BuildLayer, signal: AbortSignal): Promise<LayerBlob> {
    return await this.#blob(layer, signal)
  }

  async #blob(layer: BuildLayer, signal: AbortSignal, onArrival?: BlobArrival): Promise<LayerBlob> {
    const { diffId } = await layer.packing
    this.#used.set(diffId, layer)
    return await this.#blobs.run(diffId, async () => {
      const [blob] = (await this.#parts.store.layers.get(diffId, signal))?.blobs ?? []
      if (blob !== undefined) {
        return blob
      }
      if (layer.isNameOnly) {
        throw new CachedLayerUnavailable(diffId, layer.title)
      }
      if (layer.remote === undefined) {
        throw new BuildError(
          'layer-missing',
          `could not use layer ${diffId} of ${JSON.stringify(layer.title)}: its blob is no longer in the store; build again`,
        )
      }
      return await this.#fetch(layer, signal, onArrival)
    })
  }

  /** Host path of the blob with this digest, which the store or the layer's remote place has. Errors: as `blob`. */
  async blobFile(layer: BuildLayer, digest: Digest, signal: AbortSignal): Promise<string> {
    const { blobs } = this.#parts.store
    this.#used.set((await layer.packing).diffId, layer)
    if (!(await this.#isIntact(layer, digest, signal))) {
      if (layer.remote?.descriptor.digest !== digest) throw damaged(layer, digest)
      await this.#fetched.run(digest, () => this.#fetch(layer, signal))
    } else if (!(await this.#hasBlob(layer, digest, signal))) {
      const blob =
        layer.remote?.descriptor.digest === digest
          ? await this.#fetched.run(digest, () => this.#fetch(layer, signal))
          : await this.blob(layer, signal)
      if (blob.digest !== digest) {
        throw new BuildError(
          'layer-missing',
          `could not use blob ${digest} of ${JSON.stringify(layer.title)}: it is no longer in the store; build again`,
        )
      }
    }
    return blobs.path(digest)
  }

  /** What leaves the store is read once more, unless this build made it. A damaged blob is removed. */
  async #isIntact(layer: BuildLayer, digest: Digest, signal: AbortSignal): Promise<boolean> {
    if (layer.changes !== undefined) return true
    return await this.#intact.run(
      digest,
      async () => !(await this.#parts.store.blobs.removeIfCorrupt(digest, signal)),
    )
  }

  /** A cached layer's blob may have arrived and not be what the cache says: only a recorded one was verified. */
  async #hasBlob(layer: BuildLayer, digest: Digest, signal: AbortSignal): Promise<boolean> {
    const { blobs, layers } = this.#parts.store
    if (layer.remote === undefined || layer.base !== undefined) {
      return (await blobs.size(digest, signal)) !== undefined
    }
    const known = await layers.get((await layer.packing).diffId, signal)
    return known?.blobs.some((blob) => blob.digest === digest) ?? false
  }

  /** File with the table of contents. Waits for packing. */
  async contents(layer: BuildLayer, signal: AbortSignal): Promise<string> {
    const { diffId } = await layer.packing
    this.#used.set(diffId, layer)
    return await this.#contents.run(diffId, async () => {
      const known = await this.#parts.store.layers.get(diffId, signal)
      if (known?.contents !== undefined) {
        return known.contents
      }
      const blob = await this.blob(layer, signal)
      const file = await this.#parts.limits.cpu(() =>
        this.#parts.readContents(this.#parts.store.blobs.path(blob.digest), layer, blob, signal),
      )
      const recorded = await this.#parts.store.layers.record(diffId, { contents: file }, signal)
      return contentsOf(recorded)
    })
  }

  /** What the layer has at which path. Waits for packing only where a step that was just executed cannot tell. */
  async index(layer: BuildLayer, signal: AbortSignal): Promise<LayerFinder> {
    const known = this.#indexes.get(layer)
    if (known !== undefined) {
      return await known
    }
    const ofContents = async (): Promise<LayerFinder> =>
      new LayerIndex(await ContentsPages.open(await this.contents(layer, signal)))
    const opened =
      layer.packed !== undefined || layer.changes === undefined
        ? ofContents()
        : PendingIndex.open(layer.changes, ofContents)
    this.#indexes.set(layer, opened)
    opened.catch(() => this.#indexes.delete(layer))
    return await opened
  }

  /** The layer unpacked. A layer that was just written by a RUN is there without waiting. */
  async directory(layer: BuildLayer, signal: AbortSignal): Promise<LayerDirectory> {
    if (layer.directory !== undefined) {
      return layer.directory
    }
    const { diffId } = await layer.packing
    return await this.#directories.run(diffId, async () => {
      const known = await this.#parts.store.layers.get(diffId, signal)
      if (known?.directory !== undefined) {
        this.#foundUnpacked.set(diffId, layer)
        return known.directory
      }
      const getBlob = (onArrival: BlobArrival): Promise<LayerBlob> =>
        this.#blob(layer, signal, onArrival)
      return await unpackLayer(layer, this.#parts, getBlob, signal)
    })
  }

  /**
   * For when reading failed: looks whether what was read is damaged, files of unpacked layers too, and removes that from the
   * store. The layers that lost something; this object still has what it made of them before.
   */
  async removeDamaged(signal: AbortSignal): Promise<BuildLayer[]> {
    const damaged: BuildLayer[] = []
    for (const [diffId, layer] of this.#used) {
      if (await this.#parts.store.layers.removeDamaged(diffId, signal)) damaged.push(layer)
    }
    for (const [diffId, layer] of this.#foundUnpacked) {
      if (await this.#forgetDamagedDirectory(diffId, signal)) damaged.push(layer)
    }
    return damaged
  }

  /** What its files are compared with must be whole itself: `removeDamaged` of the store comes first. */
  async #forgetDamagedDirectory(diffId: DiffId, signal: AbortSignal): Promise<boolean> {
    const { store, worker } = this.#parts
    const { directory, contents } = (await store.layers.get(diffId, signal)) ?? {}
    if (directory === undefined || contents === undefined) return false
    const unpacked = { directory, contents }
    if (await hasAllFiles(unpacked, await worker(), store.lease.temporaryPath(), signal))
      return false
    await store.layers.forgetDirectory(diffId, directory, signal)
    return true
  }

  /** All layers unpacked, side by side. */
  async directories(stack: LayerStack, signal: AbortSignal): Promise<LayerDirectory[]> {
    return await Promise.all(stack.map((layer) => this.directory(layer, signal)))
  }

  /** What a cache says of a blob is verified before the store believes it: digest and size arriving, the tar here. */
  async #fetch(
    layer: BuildLayer,
    signal: AbortSignal,
    onArrival?: BlobArrival,
  ): Promise<LayerBlob> {
    const { store, limits, fetchBlob, readContents } = this.#parts
    if (layer.base !== undefined) {
      return await fetchBlob(layer, signal, onArrival)
    }
    const { diffId } = await layer.packing
    try {
      const blob = await fetchBlob(layer, signal, onArrival)
      const contents = await limits.cpu(() =>
        readContents(store.blobs.path(blob.digest), layer, blob, signal),
      )
      await store.layers.record(diffId, { blob, contents }, signal)
      return blob
    } catch (error) {
      signal.throwIfAborted()
      throw error instanceof Error ? new CachedLayerUnavailable(diffId, layer.title, error) : error
    }
  }
}

/** Without it the step is done again. */
function damaged({ packed, title }: BuildLayer, digest: Digest): Error {
  const cause = new BuildError('layer-missing', `blob ${digest} was damaged and is removed`)
  return packed === undefined ? cause : new CachedLayerUnavailable(packed.diffId, title, cause)
}

function contentsOf(layer: Layer): string {
  if (layer.contents === undefined) {
    throw new TypeError(`layer ${layer.diffId} has no contents although they were recorded`)
  }
  return layer.contents
}
