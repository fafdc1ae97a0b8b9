import { rm } from 'node:fs/promises'
import type { CopyNode } from '../../frontend/index.ts'
import { digestOf } from '../../registry-client/oci/index.ts'
import type { PackEntry } from '../../snapshotter/index.ts'
import { BuildError } from '../errors.ts'
import type { CopyInputs } from '../solver/cache-key.ts'
import type { LayerStack } from '../solver/layer.ts'
import { CopyError } from './copy-errors.ts'
import type { CopyInput, CopyNodeParts } from './copy-node.ts'
import { contentDigest } from './copy-key.ts'
import { EMPTY_VIEW } from './copy-place.ts'
import { planCopy } from './copy-plan.ts'
import { resolvePath } from './copy-resolve.ts'
import { type SelectedSource, selectSources } from './copy-select.ts'
import type { SourceTree } from './copy-source.ts'
import type { LayerAccess } from './layer-access.ts'
import { packPlanned } from './pack-entries.ts'
import { CACHED_FILE, fileBeginning, type MountedLayers, type MountSource } from './mountable.ts'
import { StackTree } from './stack-tree.ts'

export interface MountSourceParts extends CopyNodeParts {
  readonly access: LayerAccess
}

/** A stage's or image's filesystem as a RUN mounts it (features row D68). */
export function stackMount(
  input: Extract<CopyInput, { kind: 'stack' }>,
  parts: MountSourceParts,
): MountSource {
  const open = (): Promise<StackTree> => parts.openStack(input.layers, input.description)
  return {
    content: async (path) => contentDigest(await selectAt(await open(), path), 'mount'),
    beginning: async (path) => beginningAt(await selectAt(await open(), path)),
    layers: async (source, signal) => ({
      source,
      stack: input.layers,
      directories: await parts.access.directories(input.layers, signal),
    }),
    writeTo: async (path, directory, signal) => {
      await writeSelection(await selectAt(await open(), path), directory, parts, signal)
    },
  }
}

/**
 * A context as a RUN mounts it: never the user's directory itself but a layer made of what the mount shows, owned by
 * root, without ignored files, so that neither writes nor devices of the step reach the host.
 */
export function contextMount(tree: SourceTree, parts: MountSourceParts): MountSource {
  return {
    content: async (path) => contentDigest(await selectAt(tree, path), 'mount'),
    beginning: async (path) => beginningAt(await selectAt(tree, path)),
    layers: async (path, signal) => await snapshot(tree, path, parts, signal),
    writeTo: async (path, directory, signal) => {
      await writeSelection(await selectAt(tree, path), directory, parts, signal)
    },
  }
}

function beginningAt(selected: SelectedSource): string {
  const content = contentDigest(selected, 'mount')
  return typeAt(selected) === 'file' ? fileBeginning(content) : content
}

/** Of the one thing that a mount is made of. */
function typeAt(selected: SelectedSource): string | undefined {
  return selected.type === 'path' ? selected.matches[0]?.entry.type : undefined
}

/** Links on the way are followed, so that the content is what the mount will show. */
async function selectAt(tree: SourceTree, path: string): Promise<SelectedSource> {
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
  const [selected] = await selectSources({
    node,
    treeOf: async () => tree,
    takenFrom: () => [pattern],
  })
  if (selected === undefined) {
    throw new RangeError('one source gave no selection')
  }
  return selected
}

async function snapshot(
  tree: SourceTree,
  path: string,
  parts: MountSourceParts,
  signal: AbortSignal,
): Promise<MountedLayers> {
  const selected = await selectAt(tree, path)
  const dest = `/${(await resolvePath(tree, path)).path}`
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
    sources: [{ pattern: path, content: contentDigest(selected, 'mount') }],
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
        const entries = await planAt(selected, dest, parts)
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
    const paths = selected.matches.flatMap(({ entry, items }) => [
      entry.path,
      ...items.map((item) => item.entry.path),
    ])
    await selected.tree.unpackFor(paths, signal)
  }
  const type = typeAt(selected)
  if (type !== 'dir' && type !== 'file') {
    throw new BuildError(
      'unsupported',
      `could not fill a cache mount: its source is no directory and no file (${type ?? 'nothing'})`,
    )
  }
  const dest = type === 'file' ? CACHED_FILE : '/'
  await writeEntries(await planAt(selected, dest, parts), directory, parts, signal)
}

/** Packs entries and unpacks them in the worker as `<directory>/fs`. */
export async function writeEntries(
  entries: readonly PackEntry[],
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
  const contents = store.lease.temporaryPath()
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
): Promise<PackEntry[]> {
  return await planCopy({
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
}
