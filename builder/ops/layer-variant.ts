import { rm } from 'node:fs/promises'
import type { Descriptor, DiffId } from '../../registry-client/oci/index.ts'
import { ARCHIVE_LIMITS, type Kernel, type LayerBlob } from '../../snapshotter/index.ts'
import { BuildError } from '../errors.ts'
import type { ImageLayer } from '../image/built-image.ts'
import { compressionOf, layerMediaType, relabel } from '../image/manifest.ts'
import type { LayerFormat } from '../request.ts'
import type { BuildLayer, RemoteBlob } from '../solver/layer.ts'
import { SingleFlight } from '../solver/single-flight.ts'
import { type ClampParts, clampLayer } from './clamp-layer.ts'

export interface LayerVariantParts extends ClampParts {
  readonly kernel: Pick<Kernel, 'recompress'>
}

/**
 * Gives layers in the compression that an output asks for (features rows C72, O36, K38). Base layers stay as they are unless
 * `force-compression`; a layer of ours that is stored in another form is written anew and the form is recorded, so it
 * happens once.
 */
export class LayerVariants {
  readonly #parts: LayerVariantParts
  readonly #flights = new SingleFlight<LayerBlob>()
  readonly #clamped = new SingleFlight<BuildLayer>()

  constructor(parts: LayerVariantParts) {
    this.#parts = parts
  }

  /** `epochSec`: SOURCE_DATE_EPOCH of the build, for `rewrite-timestamp`. */
  async variant(
    layer: BuildLayer,
    { format, epochSec }: { readonly format: LayerFormat; readonly epochSec: number | undefined },
    signal: AbortSignal,
  ): Promise<ImageLayer> {
    if (format.rewriteTimestamp && epochSec !== undefined && layer.base === undefined) {
      const clamped = await this.#clamped.run(`${(await layer.packing).diffId} ${epochSec}`, () =>
        clampLayer(layer, epochSec, format, this.#parts, signal),
      )
      return await this.#unclamped(clamped, format, signal)
    }
    return await this.#unclamped(layer, format, signal)
  }

  /** What a layer of ours has been in this format before; undefined when the store has no such blob. */
  async known(
    diffId: DiffId,
    format: LayerFormat,
    signal: AbortSignal,
  ): Promise<Descriptor | undefined> {
    const layer = await this.#parts.store.layers.get(diffId, signal)
    const blob = layer?.blobs.find((one) => isFitting(one, format))
    return blob && descriptorOf(blob, format.useOciMediaTypes)
  }

  async #unclamped(
    layer: BuildLayer,
    format: LayerFormat,
    signal: AbortSignal,
  ): Promise<ImageLayer> {
    const { diffId } = await layer.packing
    if (layer.base !== undefined && isKept(layer.base.descriptor, format)) {
      return { diffId, descriptor: layer.base.descriptor, origins: layer.base.origins }
    }
    const remote = await this.#fittingRemote(layer, format, signal)
    if (remote !== undefined) {
      const descriptor = relabel(remote.descriptor, format.useOciMediaTypes)
      return { diffId, descriptor, origins: remote.origins, isInCache: true }
    }
    const blob = await this.#flights.run(
      `${diffId} ${format.compression} ${format.level ?? ''}`,
      () => this.#blob(layer, format, signal),
    )
    return { diffId, descriptor: descriptorOf(blob, format.useOciMediaTypes), origins: [] }
  }

  /** A cached layer that nobody needed yet and that has the right form stays where it is (features row K29). */
  async #fittingRemote(
    { base, remote, packing }: BuildLayer,
    format: LayerFormat,
    signal: AbortSignal,
  ): Promise<RemoteBlob | undefined> {
    if (
      base !== undefined ||
      remote === undefined ||
      format.level !== undefined ||
      compressionOf(remote.descriptor.mediaType) !== format.compression
    ) {
      return undefined
    }
    const known = await this.#parts.store.layers.get((await packing).diffId, signal)
    return known?.blobs.some((blob) => isFitting(blob, format)) === true ? undefined : remote
  }

  async #blob(layer: BuildLayer, format: LayerFormat, signal: AbortSignal): Promise<LayerBlob> {
    const { diffId } = await layer.packing
    // Fetches a base layer; for others this only asks the store.
    const some = await this.#parts.access.blob(layer, signal)
    const blobs = (await this.#parts.store.layers.get(diffId, signal))?.blobs ?? [some]
    const fitting = blobs.find((blob) => isFitting(blob, format))
    if (fitting !== undefined) {
      return fitting
    }
    // Decompressing is what costs: zstd takes a fraction of gzip.
    const source = blobs.find((blob) => blob.compression !== 'gzip') ?? blobs[0] ?? some
    const made = await this.#recompress(diffId, source, format, signal)
    await this.#parts.store.layers.record(diffId, { blob: made }, signal)
    return made
  }

  /** The tar's bytes stay what they are, whoever made it, so the diffId does. */
  async #recompress(
    diffId: DiffId,
    source: LayerBlob,
    format: LayerFormat,
    signal: AbortSignal,
  ): Promise<LayerBlob> {
    const { store, limits, kernel } = this.#parts
    const { compression, level } = format
    const output = store.lease.temporaryPath('layer')
    const made = await limits.cpu(() =>
      kernel.recompress({
        blob: store.blobs.path(source.digest),
        output,
        compression,
        level,
        uncompressedSizeBytesMax: ARCHIVE_LIMITS.uncompressedSizeBytesMax,
        signal,
      }),
    )
    const { digest, sizeBytes, engine } = made
    if (made.diffId !== diffId || digest === undefined || sizeBytes === undefined) {
      await rm(output, { force: true })
      throw new BuildError(
        'layer-missing',
        `could not use blob ${source.digest}: its tar is ${made.diffId}, not ${diffId}`,
      )
    }
    await store.blobs.adopt(output, { digest, sizeBytes }, signal)
    return { digest, sizeBytes, compression, engine }
  }
}

/** A layer's descriptor in a manifest. */
function descriptorOf(blob: LayerBlob, useOciMediaTypes: boolean): Descriptor {
  const { digest, sizeBytes, compression } = blob
  return { mediaType: layerMediaType(compression, useOciMediaTypes), digest, sizeBytes }
}

function isKept(descriptor: Descriptor, format: LayerFormat): boolean {
  const compression = compressionOf(descriptor.mediaType)
  return compression === undefined || !format.isForced || compression === format.compression
}

/** A pulled blob fits any level; one of ours only its own, when a level is asked for. */
function isFitting(blob: LayerBlob, format: LayerFormat): boolean {
  return (
    blob.compression === format.compression &&
    (format.level === undefined ||
      blob.engine === undefined ||
      blob.engine.endsWith(`/${format.level}`))
  )
}
