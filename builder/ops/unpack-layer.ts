import { rm } from 'node:fs/promises'
import type { LayerBlob, LayerDirectory, Store } from '../../snapshotter/index.ts'
import type { BuildLayer } from '../solver/layer.ts'
import type { Limits } from '../solver/limits.ts'
import type { UnpackRequest, UnpackResult, Worker } from '../worker/protocol.ts'
import type { BlobArrival, BlobInTransit } from './fetch-layer.ts'
import type { UnpackReports } from './unpack-reports.ts'

export interface UnpackParts {
  readonly store: Pick<Store, 'layers' | 'blobs' | 'lease'>
  readonly limits: Limits
  readonly worker: () => Promise<Worker>
  readonly reports: UnpackReports
}

/**
 * Unpacks a layer into a directory of the store. A blob that must be downloaded first is unpacked while it arrives;
 * the directory counts only once the download was verified and its tar was that of the diffId. `getBlob` brings the blob
 * and tells when bytes begin to come. Errors: those of `getBlob` and `Worker.unpackLayer`.
 */
export async function unpackLayer(
  layer: BuildLayer,
  parts: UnpackParts,
  getBlob: (onArrival: BlobArrival) => Promise<LayerBlob>,
  signal: AbortSignal,
): Promise<LayerDirectory> {
  const { layers, lease } = parts.store
  const { diffId } = await layer.packing
  await using _lock = await layers.lockUnpack(diffId, signal)
  const meanwhile = await layers.get(diffId, signal)
  if (meanwhile?.directory !== undefined) return meanwhile.directory
  const directory = await layers.allocateDirectory(signal)
  const contents = lease.temporaryPath('contents')
  // It starts while the download does. Whether that fails is of interest when the worker is needed.
  const worker = parts.worker()
  worker.catch(() => undefined)
  const unpack = async (source: UnpackSource, inner: AbortSignal): Promise<UnpackResult> => {
    const { blob } = source
    const request = {
      blob: parts.store.blobs.path(blob.digest),
      arriving: source.arriving,
      compression: blob.compression,
      expect: { diffId, digest: blob.digest },
      directory: directory.path,
      contents,
    }
    const ready = await worker
    const report = parts.reports.begin(layer, blob)
    try {
      const result = await ready.unpackLayer(request, inner, (bytes) => report.moved(bytes))
      report.end('done')
      return result
    } catch (error) {
      report.end(inner.aborted ? 'canceled' : 'failed', error)
      throw error
    }
  }
  await using arrivals = new Arrivals(
    (source, inner) => parts.limits.arrival(() => unpack(source, inner)),
    signal,
  )
  const blob = await getBlob((transit) => arrivals.begin(transit))
  const unpacked =
    arrivals.latest ?? parts.limits.cpu(() => unpack({ blob, arriving: undefined }, signal))
  const { uncompressedSizeBytes } = await unpacked
  const addition = { directory, contents, uncompressedSizeBytes }
  const recorded = await layers.record(diffId, addition, signal)
  await rm(contents, { force: true })
  return recorded.directory ?? directory
}

type UnpackSource = { readonly blob: LayerBlob } & Pick<UnpackRequest, 'arriving'>
type Unpack = (source: UnpackSource, signal: AbortSignal) => Promise<UnpackResult>

/**
 * What is unpacked while it is downloaded: the latest download only, since the one before failed. These take no slot of
 * `limits.cpu`: a slow network would keep it. No download waits for them. Disposing stops what is left.
 */
class Arrivals implements AsyncDisposable {
  readonly #unpack: Unpack
  readonly #signal: AbortSignal
  #stop = new AbortController()
  #latest: Promise<UnpackResult> | undefined

  constructor(unpack: Unpack, signal: AbortSignal) {
    this.#unpack = unpack
    this.#signal = signal
  }

  /** Undefined: nothing had to be downloaded. */
  get latest(): Promise<UnpackResult> | undefined {
    return this.#latest
  }

  begin({ blob, file }: BlobInTransit): void {
    const before = this[Symbol.asyncDispose]()
    this.#stop = new AbortController()
    const signal = AbortSignal.any([this.#signal, this.#stop.signal])
    const source = { blob, arriving: { path: file, sizeBytes: blob.sizeBytes } }
    // The same directory is made again, so the one before must be gone.
    this.#latest = before.then(() => this.#unpack(source, signal))
    // When the download fails too, that is the reason to tell.
    this.#latest.catch(() => undefined)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#latest?.catch(() => undefined)
  }
}
