import type { Kernel, LayerDirectory, PackEntry, Store } from '../../snapshotter/index.ts'
import type { LayerFormat } from '../request.ts'
import type { PackedLayer } from '../solver/layer.ts'
import type { Limits } from '../solver/limits.ts'
import type { Worker } from '../worker/protocol.ts'
import { recordPacked } from './pack-run.ts'

export interface PackEntriesParts {
  readonly store: Pick<Store, 'blobs' | 'layers' | 'lease' | 'root'>
  readonly kernel: Pick<Kernel, 'createPacker'>
  readonly worker: () => Promise<Worker>
  readonly limits: Limits
  readonly format: LayerFormat
}

/** Entries that cross a process boundary or the addon's at a time. */
export const BATCH = 512

/**
 * Packs entries that were planned (COPY, ADD, WORKDIR) into a layer of the store. Files of the host are read by this
 * process, so a build that only copies needs no worker; what lies in unpacked layers is read by the worker, because an
 * ordinary user may not be able to. `directory`: where the layer lies unpacked already.
 */
export async function packPlanned(
  entries: readonly PackEntry[],
  {
    createdAt,
    directory,
  }: { readonly createdAt: string; readonly directory?: LayerDirectory | undefined },
  parts: PackEntriesParts,
  signal: AbortSignal,
): Promise<PackedLayer> {
  const { store, limits, format } = parts
  const output = store.lease.temporaryPath()
  const contents = store.lease.temporaryPath()
  const { compression, level } = format
  const result = await limits.cpu(async () => {
    if (entries.some((entry) => isInLayer(entry, store.root.layersDir))) {
      const worker = await parts.worker()
      return await worker.packEntries(
        batchesOf(entries),
        { output, compression, level, contents },
        signal,
      )
    }
    await using packer = parts.kernel.createPacker({ output, compression, level, contents, signal })
    for await (const batch of batchesOf(entries)) {
      await packer.add(batch)
    }
    const { entries: _none, ...rest } = await packer.finish()
    return rest
  })
  await recordPacked(result, { output, contents, directory, format }, store, signal)
  return { diffId: result.diffId, createdAt }
}

function isInLayer(entry: PackEntry, layersDir: string): boolean {
  return (
    entry.type === 'file' &&
    entry.source.kind === 'path' &&
    entry.source.root.startsWith(`${layersDir}/`)
  )
}

export async function* batchesOf(
  entries: readonly PackEntry[],
): AsyncGenerator<readonly PackEntry[]> {
  for (let start = 0; start < entries.length; start += BATCH) {
    yield entries.slice(start, start + BATCH)
  }
}
