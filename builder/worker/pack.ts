import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type DiffEntry,
  expandOpaque,
  type Kernel,
  type LayerPacker,
  LayerTree,
  makePlace,
  type PackEntry,
  type PackResult,
} from '../../snapshotter/index.ts'
import type {
  DiffPage,
  MakeLayerRequest,
  PackRunRequest,
  PackTarget,
  ReadDiffRequest,
} from './protocol.ts'
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
  const { output, compression, level, contents, partsTable } = target
  try {
    await using packer: LayerPacker = kernel.createPacker({
      ...{ output, compression, level, contents, partsTable, signal },
    })
    for await (const batch of batches) await packer.add(batch)
    const { entries: _none, ...result } = await packer.finish()
    return result
  } catch (error) {
    await rm(contents, { force: true })
    if (output !== undefined) await rm(output, { force: true })
    throw error
  }
}

/** Makes `<directory>/fs` of entries as they come; nothing is left of it on failure. Errors: those of the maker. */
export async function makeLayer(
  batches: AsyncIterable<readonly PackEntry[]>,
  { directory }: MakeLayerRequest,
  parts: {
    readonly kernel: Pick<Kernel, 'createMaker' | 'removeTree'>
    readonly userXattr: boolean
    /** As in UnpackParts. */
    readonly workDir: string
  },
  signal: AbortSignal,
): Promise<undefined> {
  const { kernel, userXattr } = parts
  const root = join(directory, 'fs')
  await rename(makePlace(parts.workDir, 'layer-'), directory)
  try {
    await using maker = kernel.createMaker({ root, userXattr, ownership: 'owners', signal })
    for await (const batch of batches) await maker.add(batch)
    await maker.finish()
    return undefined
  } catch (error) {
    await kernel.removeTree(directory, new AbortController().signal)
    throw error
  }
}

/** A page of what a committed run wrote; undefined when it is packed already. */
export function readDiff(
  { diff, page }: ReadDiffRequest,
  diffs: CommittedDiffs,
): DiffPage | undefined {
  const changes = diffs.find(diff)?.changes
  if (changes === undefined) return undefined
  const start = page * BATCH
  return {
    entries: changes.slice(start, start + BATCH),
    pageCount: Math.max(1, Math.ceil(changes.length / BATCH)),
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
