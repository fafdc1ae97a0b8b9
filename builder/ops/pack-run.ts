import type { LayerDirectory, PackResult, Store } from '../../snapshotter/index.ts'
import type { LayerFormat } from '../request.ts'
import type { GrowingBlob } from '../solver/growing-blob.ts'
import type { LayerStack, PackedLayer } from '../solver/layer.ts'
import type { Limits } from '../solver/limits.ts'
import type { Worker } from '../worker/protocol.ts'
import type { LayerAccess } from './layer-access.ts'

export interface PackRunParts {
  readonly store: Pick<Store, 'blobs' | 'layers' | 'lease' | 'root'>
  readonly access: LayerAccess
  readonly limits: Limits
  readonly format: LayerFormat
}

export interface FinishedRun {
  /** As the worker named it. */
  readonly diff: string
  /** As in RunResult. */
  readonly hidesDirectories: boolean
  readonly directory: LayerDirectory
  readonly parent: LayerStack
  /** RFC 3339. */
  readonly createdAt: string
  /** The blob to write, in the format of `PackRunParts`. */
  readonly blob: GrowingBlob
}

/**
 * Makes the layer of a RUN out of what it wrote: blob, table of contents and directory become the store's. Runs beside
 * the steps that follow; it waits for the tables of contents of the
 * layers below only where directories took the place of others.
 */
export async function packRun(
  run: FinishedRun,
  worker: Worker,
  parts: PackRunParts,
  signal: AbortSignal,
): Promise<PackedLayer> {
  const { store, access, limits, format } = parts
  const output = run.blob.file
  const contents = store.lease.temporaryPath('contents')
  const { compression, level } = format
  const result = await run.blob.during(async () => {
    const parentContents = run.hidesDirectories
      ? await Promise.all(run.parent.map((layer) => access.contents(layer, signal)))
      : []
    const request = {
      ...{ diff: run.diff, parentContents, output, compression, level, contents },
      partsTable: store.root.partsTable,
    }
    return await limits.cpu(() => worker.packRun(request, signal))
  })
  await recordPacked(result, { output, contents, directory: run.directory, format }, store, signal)
  return { diffId: result.diffId, createdAt: run.createdAt }
}

/** Hands a packed layer's files to the store. */
export async function recordPacked(
  result: PackResult,
  files: {
    readonly output: string
    readonly contents: string
    readonly directory: LayerDirectory | undefined
    readonly format: LayerFormat
  },
  store: Pick<Store, 'blobs' | 'layers'>,
  signal: AbortSignal,
): Promise<void> {
  const { digest, sizeBytes, engine, uncompressedSizeBytes, diffId } = result
  if (digest === undefined || sizeBytes === undefined) {
    throw new TypeError(`the packer wrote ${files.output} but gave no digest for it`)
  }
  await store.blobs.adopt(files.output, { digest, sizeBytes }, signal)
  await store.layers.record(
    diffId,
    {
      blob: { digest, sizeBytes, compression: files.format.compression, engine },
      contents: files.contents,
      uncompressedSizeBytes,
      ...(files.directory === undefined ? {} : { directory: files.directory }),
    },
    signal,
  )
}
