import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type DiffEntry,
  expandOpaque,
  type Kernel,
  type LayerPacker,
  LayerTree,
  normalizeEntries,
  type PackEntry,
  type PackResult,
  writeContents,
} from '../../snapshotter/index.ts'
import type { PackRunRequest, PackTarget } from './protocol.ts'
import type { CommittedDiffs } from './run.ts'

const BATCH = 512

type PackKernel = Pick<Kernel, 'createPacker'>

/** Packs what a committed run wrote; its diff is forgotten then. Errors: those of the packer. */
export async function packRun(
  request: PackRunRequest,
  parts: { readonly kernel: PackKernel; readonly diffs: CommittedDiffs },
  signal: AbortSignal,
): Promise<PackResult> {
  const { directory, changes } = parts.diffs.get(request.diff)
  const root = join(directory.path, 'fs')
  const explicit = changes.some(({ type }) => type === 'opaque')
    ? expandOpaque(changes, await LayerTree.load(request.parentContents))
    : changes
  const clamp = request.clampMtimeSec
  const result = await packEntries(
    batchesOf(explicit, (entry) => packEntry(entry, root, clamp)),
    request,
    parts.kernel,
    signal,
  )
  parts.diffs.delete(request.diff)
  return result
}

/** Packs entries as they come; blob and table of contents exist on success only. */
export async function packEntries(
  batches: AsyncIterable<readonly PackEntry[]> | Iterable<readonly PackEntry[]>,
  target: PackTarget,
  kernel: PackKernel,
  signal: AbortSignal,
): Promise<PackResult> {
  const { output, compression, level, contents } = target
  try {
    await using packer: LayerPacker = kernel.createPacker({ output, compression, level, signal })
    for await (const batch of batches) await packer.add(batch)
    const { entries, ...result } = await packer.finish()
    await writeContents(contents, normalizeEntries(entries))
    return result
  } catch (error) {
    await rm(contents, { force: true })
    if (output !== undefined) await rm(output, { force: true })
    throw error
  }
}

function* batchesOf(
  changes: readonly DiffEntry[],
  convert: (entry: DiffEntry) => PackEntry,
): Generator<readonly PackEntry[]> {
  for (let start = 0; start < changes.length; start += BATCH) {
    yield changes.slice(start, start + BATCH).map(convert)
  }
}

function packEntry(entry: DiffEntry, root: string, clampMtimeSec: number | undefined): PackEntry {
  const clamped = clampMtime(entry, clampMtimeSec)
  return clamped.type === 'file'
    ? { ...clamped, source: { kind: 'path', root, path: clamped.path } }
    : clamped
}

function clampMtime<E extends DiffEntry>(entry: E, clampMtimeSec: number | undefined): E {
  if (clampMtimeSec === undefined || !('mtimeSec' in entry) || entry.mtimeSec <= clampMtimeSec)
    return entry
  return { ...entry, mtimeSec: clampMtimeSec }
}
