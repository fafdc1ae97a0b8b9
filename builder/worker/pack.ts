import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  ContentsPages,
  expandOpaque,
  type Kernel,
  type LayerEntry,
  type LayerPacker,
  makePlace,
  MergedLayers,
  type PackEntry,
  type PackPage,
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

type PackKernel = Pick<Kernel, 'createPacker'>

/** Packs what a committed run wrote; its diff is forgotten then. Errors: those of the packer. */
export async function packRun(
  request: PackRunRequest,
  parts: { readonly kernel: PackKernel; readonly diffs: CommittedDiffs },
  signal: AbortSignal,
): Promise<PackResult> {
  const { changes } = parts.diffs.get(request.diff)
  const pages = changes.hasOpaque
    ? expandOpaque(changes.pages(), await openLayers(request.parentContents))
    : changes.packPages()
  const result = await packEntries(pages, request, parts.kernel, signal)
  await parts.diffs.delete(request.diff)
  return result
}

async function openLayers(contents: readonly string[]): Promise<MergedLayers<LayerEntry>> {
  return new MergedLayers(await Promise.all(contents.map((file) => ContentsPages.open(file))))
}

/** Packs entries as they come; blob and table of contents exist on success only. */
export async function packEntries(
  batches: AsyncIterable<PackPage> | Iterable<PackPage>,
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
    await using maker = kernel.createMaker({
      ...{ root, whiteouts: 'overlay', userXattr, ownership: 'owners', signal },
    })
    for await (const batch of batches) await maker.add(batch)
    await maker.finish()
    return undefined
  } catch (error) {
    await kernel.removeTree(directory, new AbortController().signal)
    throw error
  }
}

/** A page of what a committed run wrote; undefined when it is packed already. */
export async function readDiff(
  { diff, page }: ReadDiffRequest,
  diffs: CommittedDiffs,
): Promise<DiffPage | undefined> {
  const changes = diffs.find(diff)?.changes
  if (changes === undefined) return undefined
  return { entries: await changes.page(page), pageCount: Math.max(1, changes.pageCount) }
}
