import type {
  Kernel,
  LayerDirectory,
  PackEntry,
  PackResult,
  Store,
} from '../../snapshotter/index.ts'
import type { LayerFormat } from '../request.ts'
import { GrowingBlob } from '../solver/growing-blob.ts'
import type { PackedLayer } from '../solver/layer.ts'
import type { Limits } from '../solver/limits.ts'
import type { Worker } from '../worker/protocol.ts'
import { recordPacked } from './pack-run.ts'

export interface PackEntriesParts {
  readonly store: Pick<Store, 'blobs' | 'layers' | 'lease' | 'root'>
  readonly kernel: Pick<Kernel, 'createPacker'>
  readonly worker: () => Promise<Pick<Worker, 'packEntries'>>
  readonly limits: Limits
  readonly format: LayerFormat
}

/** Entries to pack, a page at a time, and the host directories that files are read from. */
export interface PlannedEntries {
  readonly roots: ReadonlySet<string>
  pages(): AsyncIterable<readonly PackEntry[]>
}

/**
 * Packs entries that were planned (COPY, ADD, WORKDIR) into a layer of the store. Files of the host are read by this
 * process, so a build that only copies needs no worker; what lies in unpacked layers is read by the worker, because an
 * ordinary user may not be able to. `directory`: where the layer lies unpacked already. `blob`: what is written, in the
 * format of `parts`.
 */
export async function packPlanned(
  entries: PlannedEntries,
  layer: {
    readonly createdAt: string
    readonly directory?: LayerDirectory | undefined
    readonly blob?: GrowingBlob
  },
  parts: PackEntriesParts,
  signal: AbortSignal,
): Promise<PackedLayer> {
  const { store, limits, format } = parts
  const { createdAt, directory, blob = packedBlob(parts) } = layer
  const output = blob.file
  const contents = store.lease.temporaryPath('contents')
  const { compression, level } = format
  const { partsTable } = store.root
  const pack = async (): Promise<PackResult> => {
    if ([...entries.roots].some((root) => root.startsWith(`${store.root.layersDir}/`))) {
      const worker = await parts.worker()
      return await worker.packEntries(
        entries.pages(),
        { output, compression, level, contents, partsTable },
        signal,
      )
    }
    await using packer = parts.kernel.createPacker({
      ...{ output, compression, level, contents, partsTable, signal },
    })
    for await (const batch of entries.pages()) {
      await packer.add(batch)
    }
    const { entries: _none, ...rest } = await packer.finish()
    return rest
  }
  const result = await blob.during(() => limits.cpu(pack))
  await recordPacked(result, { output, contents, directory, format }, store, signal)
  return { diffId: result.diffId, createdAt }
}

/** A blob that is going to be packed. */
export function packedBlob({
  store,
  format,
}: {
  readonly store: Pick<Store, 'lease'>
  readonly format: LayerFormat
}): GrowingBlob {
  return new GrowingBlob(store.lease.temporaryPath('layer'), format)
}
