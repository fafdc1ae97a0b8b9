import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import type { LayerPath, Store } from '../../snapshotter/index.ts'
import { BuildError } from '../errors.ts'
import type { BuildLayer } from '../solver/layer.ts'
import type { Worker } from '../worker/protocol.ts'
import type { AccountFileReader } from './copy-owner.ts'
import type { LayerAccess } from './layer-access.ts'

/** A file's bytes: which layer has them, and under which name. */
export interface LayerFilePlace {
  readonly layer: BuildLayer
  readonly source: LayerPath
}

export interface LayerFileParts {
  readonly store: Pick<Store, 'layers' | 'blobs'>
  readonly access: LayerAccess
  readonly worker: () => Promise<Worker>
}

/** Limit of passwd and group files (features row D90). */
const FILE_BYTES_MAX = 10 << 20

/**
 * Reads the account files of a filesystem (`--chown=name`, WORKDIR under USER name). A layer that is unpacked is read
 * by the worker; for others the one file is read out of the blob, which is faster than unpacking the layer.
 */
export function accountFiles(
  tree: { locate(path: string): Promise<LayerFilePlace | undefined> },
  parts: LayerFileParts,
  signal: AbortSignal,
): AccountFileReader {
  return async (path) => {
    const place = await tree.locate(path)
    return place === undefined
      ? undefined
      : await readLayerFile(place.layer, place.source, parts, signal)
  }
}

async function readLayerFile(
  layer: BuildLayer,
  path: LayerPath,
  parts: LayerFileParts,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const known = layer.directory ?? (await directoryOf(layer, parts, signal))
  const blob = known === undefined ? await parts.access.blob(layer, signal) : undefined
  if (blob === undefined || blob.compression === 'zstd') {
    const directory = known ?? (await parts.access.directory(layer, signal))
    return await (await parts.worker()).readFile(directory, path, FILE_BYTES_MAX, signal)
  }
  const bytes = await readFromTar(
    parts.store.blobs.path(blob.digest),
    blob.compression === 'gzip',
    path,
    signal,
  )
  if (bytes === undefined) {
    throw new BuildError(
      'layer-missing',
      `could not read /${path}: layer ${blob.digest} does not hold it`,
    )
  }
  return bytes
}

async function directoryOf(
  layer: BuildLayer,
  { store }: LayerFileParts,
  signal: AbortSignal,
): Promise<BuildLayer['directory']> {
  const { diffId } = await layer.packing
  return (await store.layers.get(diffId, signal))?.directory
}

/** The bytes of a regular file of a tar; the last entry of a name is the one that counts. */
async function readFromTar(
  file: string,
  isGzip: boolean,
  path: LayerPath,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  // Most builds never come here; loading it costs as much as looking up ten steps.
  const { default: tarStream } = await import('tar-stream')
  const archive = tarStream.extract()
  let found: Uint8Array | undefined
  const reading = (async () => {
    for await (const entry of archive) {
      const { header } = entry
      const isWanted = header.type === 'file' && header.name.replace(/^\.?\//, '') === path
      if (isWanted && (header.size ?? 0) <= FILE_BYTES_MAX) {
        found = Buffer.concat(await Readable.from(entry).toArray())
      } else {
        entry.resume()
      }
    }
  })()
  const source = createReadStream(file, { highWaterMark: 1 << 20 })
  await Promise.all([
    isGzip
      ? pipeline(source, createGunzip(), archive, { signal })
      : pipeline(source, archive, { signal }),
    reading,
  ])
  return found
}
