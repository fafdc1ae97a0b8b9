import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createGzip } from 'node:zlib'
import { type Descriptor, parseDigest, parseDiffId } from '../../registry-client/oci/index.ts'
import type { LayerBlob, PackEntry } from '../../snapshotter/index.ts'
import { readContents } from '../../snapshotter/index.ts'
import { BuildError } from '../errors.ts'
import type { ImageLayer } from '../image/built-image.ts'
import { compressionOf, layerMediaType } from '../image/manifest.ts'
import type { LayerFormat } from '../request.ts'
import type { BuildLayer } from '../solver/layer.ts'
import { SingleFlight } from '../solver/single-flight.ts'
import { type ClampParts, clampLayer, toPack } from './clamp-layer.ts'

/**
 * Gives layers in the compression that an output asks for (features rows C72, O36, K38). Base layers stay as they are unless
 * `force-compression`; a layer of ours that is stored in another form is written anew and the form is recorded, so it
 * happens once.
 */
export class LayerVariants {
  readonly #parts: ClampParts
  readonly #flights = new SingleFlight<LayerBlob>()
  readonly #clamped = new SingleFlight<BuildLayer>()

  constructor(parts: ClampParts) {
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

  async #unclamped(
    layer: BuildLayer,
    format: LayerFormat,
    signal: AbortSignal,
  ): Promise<ImageLayer> {
    const { diffId } = await layer.packing
    if (layer.base !== undefined && isKept(layer.base.descriptor, format)) {
      return { diffId, descriptor: layer.base.descriptor, origins: layer.base.origins }
    }
    const blob = await this.#flights.run(
      `${diffId} ${format.compression} ${format.level ?? ''}`,
      () => this.#blob(layer, format, signal),
    )
    return { diffId, descriptor: descriptorOf(blob, format.useOciMediaTypes), origins: [] }
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
    const source = blobs.find((blob) => blob.compression !== 'zstd') ?? some
    const made =
      format.compression !== 'zstd' && source.compression !== 'zstd'
        ? await this.#recompress(layer, source, format, signal)
        : await this.#repack(layer, format, signal)
    await this.#parts.store.layers.record(diffId, { blob: made }, signal)
    return made
  }

  /** gzip and plain tars are turned into each other as streams; the tar's bytes stay what they are. */
  async #recompress(
    layer: BuildLayer,
    source: LayerBlob,
    format: LayerFormat,
    signal: AbortSignal,
  ): Promise<LayerBlob> {
    const { store, limits } = this.#parts
    const { diffId } = await layer.packing
    const output = store.lease.temporaryPath()
    const tar = createHash('sha256')
    const compressed = createHash('sha256')
    const steps = [
      ...(source.compression === 'gzip' ? [createGunzip()] : []),
      tap((chunk) => tar.update(chunk)),
      ...(format.compression === 'gzip' ? [createGzip({ level: format.level ?? 6 })] : []),
      tap((chunk) => compressed.update(chunk)),
    ]
    await limits.cpu(() =>
      pipeline(
        [
          createReadStream(store.blobs.path(source.digest)),
          ...steps,
          createWriteStream(output, { flags: 'wx' }),
        ],
        {
          signal,
        },
      ),
    )
    const digest = parseDigest(`sha256:${compressed.digest('hex')}`)
    if (digest === undefined || parseDiffId(`sha256:${tar.digest('hex')}`) !== diffId) {
      await rm(output, { force: true })
      throw new BuildError(
        'layer-missing',
        `could not use blob ${source.digest}: its tar is not ${diffId}`,
      )
    }
    const { size: sizeBytes } = await stat(output)
    await store.blobs.adopt(output, { digest, sizeBytes }, signal)
    const engine =
      format.compression === 'gzip'
        ? `node-zlib-${process.versions.zlib}/${format.level ?? 6}`
        : 'none'
    return { digest, sizeBytes, compression: format.compression, engine }
  }

  /** Packs the layer again from its directory. Tars that were not written by us may come out different: refused. */
  async #repack(layer: BuildLayer, format: LayerFormat, signal: AbortSignal): Promise<LayerBlob> {
    const { store, access, limits } = this.#parts
    const { diffId } = await layer.packing
    const [contents, directory] = await Promise.all([
      access.contents(layer, signal),
      access.directory(layer, signal),
    ])
    const worker = await this.#parts.worker()
    const target = { output: store.lease.temporaryPath(), contents: store.lease.temporaryPath() }
    const { compression, level } = format
    const packed = await limits.cpu(() =>
      worker.packEntries(
        packEntries(contents, `${directory.path}/fs`),
        { ...target, compression, level },
        signal,
      ),
    )
    await rm(target.contents, { force: true })
    const { digest, sizeBytes, engine } = packed
    if (packed.diffId !== diffId || digest === undefined || sizeBytes === undefined) {
      await rm(target.output, { force: true })
      throw new BuildError(
        'unsupported',
        `could not write layer ${diffId} of ${layer.title} as ${compression}: it was made by another tool and would change; leave force-compression out`,
      )
    }
    await store.blobs.adopt(target.output, { digest, sizeBytes }, signal)
    return { digest, sizeBytes, compression, engine }
  }
}

/** A layer's descriptor in a manifest. */
export function descriptorOf(blob: LayerBlob, useOciMediaTypes: boolean): Descriptor {
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

async function* packEntries(contents: string, root: string): AsyncGenerator<readonly PackEntry[]> {
  for await (const batch of readContents(contents)) {
    yield batch.map((entry) => toPack(entry, root))
  }
}

function tap(see: (chunk: Uint8Array) => void): Transform {
  return new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      see(chunk)
      done(null, chunk)
    },
  })
}
