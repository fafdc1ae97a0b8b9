import { join } from 'node:path'
import {
  type Compression,
  type Digest,
  type DiffId,
  parseDiffId,
  parseDigest,
} from '../../registry-client/oci/index.ts'
import { RecordStore, type RecordStoreOptions } from './records.ts'
import type { StateRoot } from './root.ts'

/** One form in which a layer's tar is stored (features row K38: the same diffId may exist as gzip and zstd). */
export interface LayerBlob {
  readonly digest: Digest
  readonly sizeBytes: number
  readonly compression: Compression
  /** What compressed it (`PackResult.engine`); undefined: it was pulled. */
  readonly engine: string | undefined
}

/** As stored: `directory` is the name below `layers/directories`. */
export interface LayerRecord {
  readonly diffId: DiffId
  /** A contents file without this is of a record that a crash of the machine made worthless. */
  readonly hasContents: boolean
  readonly uncompressedSizeBytes: number | undefined
  readonly blobs: readonly LayerBlob[]
  readonly directory: string | undefined
}

export interface LayerRecordOptions
  extends Pick<RecordStoreOptions<LayerRecord>, 'durability' | 'checkpoint'> {
  readonly root: StateRoot
  readonly lease: { temporaryPath(kind: string): string }
}

/** The records alone, for the collector and for start-up. */
export function layerRecords(options: LayerRecordOptions): RecordStore<LayerRecord> {
  return new RecordStore<LayerRecord>({
    directory: join(options.root.layersDir, 'records'),
    temporaryPath: (kind) => options.lease.temporaryPath(kind),
    durability: options.durability,
    read: readLayerRecord,
    ...(options.checkpoint === undefined ? {} : { checkpoint: options.checkpoint }),
  })
}

function readLayerRecord(value: unknown): LayerRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const diffId =
    'diffId' in value && typeof value.diffId === 'string' ? parseDiffId(value.diffId) : undefined
  if (diffId === undefined || !('blobs' in value) || !Array.isArray(value.blobs)) return undefined
  const blobs = value.blobs.map(readLayerBlob)
  const uncompressedSizeBytes =
    'uncompressedSizeBytes' in value ? value.uncompressedSizeBytes : undefined
  if (uncompressedSizeBytes !== undefined && !isSize(uncompressedSizeBytes)) return undefined
  const directory = 'directory' in value ? value.directory : undefined
  if (
    directory !== undefined &&
    !(typeof directory === 'string' && /^[0-9a-f]{24}$/.test(directory))
  )
    return undefined
  const hasContents = 'hasContents' in value && value.hasContents === true
  const known = blobs.filter((blob) => blob !== undefined)
  if (known.length !== blobs.length) return undefined
  return { diffId, uncompressedSizeBytes, blobs: known, hasContents, directory }
}

function readLayerBlob(value: unknown): LayerBlob | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const digest =
    'digest' in value && typeof value.digest === 'string' ? parseDigest(value.digest) : undefined
  const sizeBytes = 'sizeBytes' in value ? value.sizeBytes : undefined
  const compression = 'compression' in value ? value.compression : undefined
  const engine = 'engine' in value ? value.engine : undefined
  if (digest === undefined || !isSize(sizeBytes)) return undefined
  if (compression !== 'uncompressed' && compression !== 'gzip' && compression !== 'zstd')
    return undefined
  if (engine !== undefined && typeof engine !== 'string') return undefined
  return { digest, sizeBytes, compression, engine }
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}
