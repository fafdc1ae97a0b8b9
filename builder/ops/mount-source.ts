import { rm } from 'node:fs/promises'
import type { CopyNode } from '../../frontend/index.ts'
import { digestOf } from '../../registry-client/oci/index.ts'
import { EntryFile, type PackEntry } from '../../snapshotter/index.ts'
import { BuildError } from '../errors.ts'
import type { CopyInputs } from '../solver/cache-key.ts'
import type { LayerStack } from '../solver/layer.ts'
import { CopyError } from './copy-errors.ts'
import type { CopyNodeParts } from './copy-node.ts'
import { EMPTY_VIEW } from './copy-place.ts'
import { planCopy } from './copy-plan.ts'
import { resolvePath } from './copy-resolve.ts'
import { type SelectedSource, selectSources } from './copy-select.ts'
import { type CopyInput, rootsOf } from './copy-selection.ts'
import type { SourceTree, TreeEntry } from './copy-source.ts'
import type { LayerAccess } from './layer-access.ts'
import { packPlanned, type PlannedEntries } from './pack-entries.ts'
import { CACHED_FILE, fileBeginning, type MountedLayers, type MountSource } from './mountable.ts'
import type { Worker } from '../worker/protocol.ts'
import { StackTree } from './stack-tree.ts'

type DirectoryEntry = Extract<TreeEntry, { type: 'dir' }>

export interface MountSourceParts extends CopyNodeParts {
  readonly worker: () => Promise<Worker>
  readonly access: LayerAccess
}

/** A stage's or image's filesystem as a RUN mounts it (features row D68). */
export function stackMount(
  input: Extract<CopyInput, { kind: 'stack' }>,
  parts: MountSourceParts,
): MountSource {
  const open = (): Promise<StackTree> => parts.openStack(input.layers, input.description)
  return {
    content: async (path) => await withSelected(await open(), path, parts, contentOf),
    beginning: async (path) => await withSelected(await open(), path, parts, beginningAt),
    layers: async (source, signal) => ({
      source,
      stack: input.layers,
      directories: await parts.access.directories(input.layers, signal),
    }),
    writeTo: async (path, directory, signal) => {
      await withSelected(await open(), path, parts, async (selected) => {
        await writeSelection(selected, directory, parts, signal)
      })
    },
  }
}

/**
 * A context as a RUN mounts it: never the user's directory itself but a layer made of what the mount shows, owned by
 * root, without ignored files, so that neither writes nor devices of the step reach the host.
 */
export function contextMount(tree: SourceTree, parts: MountSourceParts): MountSource {
  return {
    content: async (path) => await withSelected(tree, path, parts, contentOf),
    beginning: async (path) => await withSelected(tree, path, parts, beginningAt),
    layers: async (path, signal) =>
      await withSelected(tree, path, parts, async (selected) => {
        const dest = `/${(await resolvePath(tree, path)).path}`
        return await snapshot(selected, { tree, path, dest }, parts, signal)
      }),
    writeTo: async (path, directory, signal) => {
      await withSelected(tree, path, parts, async (selected) => {
        await writeSelection(selected, directory, parts, signal)
      })
    },
  }
}

function contentOf(selected: SelectedSource): string {
  return selected.digest
}

function beginningAt(selected: SelectedSource): string {
  const { digest } = selected
  return typeAt(selected) === 'file' ? fileBeginning(digest) : digest
}

/** Of the one thing that a mount is made of. */
function typeAt(selected: SelectedSource): string | undefined {
  return selected.type === 'path' ? selected.matches[0]?.entry.type : undefined
}

/** What a mount shows, while `use` runs. Links on the way are followed. */
async function withSelected<T>(
  tree: SourceTree,
  path: string,
  { store }: MountSourceParts,
  use: (selected: SelectedSource) => T | Promise<T>,
): Promise<T> {
  const { path: pattern, entry } = await resolvePath(tree, path)
  if (entry === undefined) {
    throw new CopyError(
      'source-missing',
      `could not mount from ${tree.description}: "/${pattern}": not found`,
    )
  }
  const node: Pick<CopyNode, 'sources' | 'parents' | 'exclude'> = {
    sources: [{ type: 'path', from: 0, pattern, unpack: 'never', isRemote: true }],
    parents: false,
    exclude: [],
  }
  await using selection = await selectSources({
    node,
    treeOf: async () => tree,
    takenFrom: () => [pattern],
    reader: 'mount',
    newFile: () => store.lease.temporaryPath(),
  })
  const [selected] = selection.sources
  if (selected === undefined) {
    throw new RangeError('one source gave no selection')
  }
  return await use(selected)
}

async function snapshot(
  selected: SelectedSource,
  { tree, path, dest }: { readonly tree: SourceTree; readonly path: string; readonly dest: string },
  parts: MountSourceParts,
  signal: AbortSignal,
): Promise<MountedLayers> {
  const inputs: CopyInputs = {
    kind: 'copy',
    parent: 'scratch',
    dest,
    destIsDirectory: false,
    chown: undefined,
    chmod: undefined,
    parents: false,
    exclude: undefined,
    unpack: ['never'],
    epochSec: undefined,
    sources: [{ pattern: path, content: selected.digest }],
  }
  const definition = digestOf(`mount ${JSON.stringify(inputs)}`)
  const layer = await parts.cache.run(
    {
      title: `[internal] snapshot ${dest} of ${tree.description} for a mount`,
      definition,
      position: definition,
      ignoreCache: false,
      inputs,
      finalInputs: async () => inputs,
      execute: async (_step, inner) => {
        await using entries = await planAt(selected, dest, parts)
        const packed = await packPlanned(
          entries,
          { createdAt: new Date(parts.nowMs()).toISOString() },
          parts,
          inner,
        )
        return { unpacked: undefined, packing: Promise.resolve(packed) }
      },
    },
    signal,
  )
  const stack: LayerStack = [layer]
  return { source: dest, stack, directories: await parts.access.directories(stack, signal) }
}

/** Makes `<directory>/fs` with what was selected: packed, then unpacked where the privileges are. */
async function writeSelection(
  selected: SelectedSource,
  directory: string,
  parts: MountSourceParts,
  signal: AbortSignal,
): Promise<void> {
  if (selected.type === 'path' && selected.tree instanceof StackTree) {
    await selected.tree.unpackFor(rootsOf(selected.matches), signal)
  }
  const type = typeAt(selected)
  if (type !== 'dir' && type !== 'file') {
    throw new BuildError(
      'unsupported',
      `could not fill a cache mount: its source is no directory and no file (${type ?? 'nothing'})`,
    )
  }
  const dest = type === 'file' ? CACHED_FILE : '/'
  await using entries = await planAt(selected, dest, parts)
  await writeEntries(entries, directory, parts, signal)
}

/** Packs entries and unpacks them in the worker as `<directory>/fs`. */
export async function writeEntries(
  entries: PlannedEntries,
  directory: string,
  parts: MountSourceParts,
  signal: AbortSignal,
): Promise<void> {
  const { store } = parts
  const { diffId } = await packPlanned(
    entries,
    { createdAt: new Date(parts.nowMs()).toISOString() },
    parts,
    signal,
  )
  const [blob] = (await store.layers.get(diffId, signal))?.blobs ?? []
  if (blob === undefined) {
    throw new BuildError('layer-missing', `could not fill a cache mount: layer ${diffId} is gone`)
  }
  const contents = store.lease.temporaryPath('contents')
  const worker = await parts.worker()
  await worker.unpackLayer(
    {
      blob: store.blobs.path(blob.digest),
      compression: blob.compression,
      expect: { diffId, digest: blob.digest },
      directory,
      contents,
    },
    signal,
  )
  await rm(contents, { force: true })
}

async function planAt(
  selected: SelectedSource,
  dest: string,
  parts: MountSourceParts,
): Promise<EntryFile> {
  const planned = planCopy({
    node: {
      dest,
      destIsDirectory: dest === '/',
      chown: undefined,
      chmod: undefined,
      epochSec: undefined,
    },
    selection: [selected],
    base: EMPTY_VIEW,
    readAccounts: undefined,
    openArchive: async () => undefined,
    nowSec: Math.floor(parts.nowMs() / 1000),
  })
  const top = directoryAt(selected)
  const pages = top === undefined ? planned : withTop(planned, { ...top, path: dest.slice(1) })
  return await EntryFile.of(() => parts.store.lease.temporaryPath(), pages)
}

/** The directory that is mounted; the root of a tree has no metadata that means anything. */
function directoryAt(selected: SelectedSource): DirectoryEntry | undefined {
  const entry = selected.type === 'path' ? selected.matches[0]?.entry : undefined
  return entry?.type === 'dir' && entry.path !== '' ? entry : undefined
}

/**
 * `pages` with `top` as it is: a mount shows the directory itself, where a copy makes one for its contents, or none where
 * they go to the root.
 */
async function* withTop(
  pages: AsyncIterable<readonly PackEntry[]>,
  top: DirectoryEntry,
): AsyncGenerator<readonly PackEntry[]> {
  if (top.path === '') yield [top]
  for await (const page of pages) yield page.map((entry) => (entry.path === top.path ? top : entry))
}
