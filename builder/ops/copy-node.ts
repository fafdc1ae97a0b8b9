import type { CopyNode, NodeId } from '../../frontend/index.ts'
import type { Kernel, PackEntry } from '../../snapshotter/index.ts'
import type { CacheJournal } from '../cache/journal.ts'
import type { CacheRecords } from '../cache/records.ts'
import type { RemoteCaches } from '../cache/remote/remote-caches.ts'
import {
  aliasKeyOf,
  type CacheKey,
  cacheKeyOf,
  type CopyInputs,
  parentName,
} from '../solver/cache-key.ts'
import type { KeyValue } from '../solver/canonical.ts'
import { type BuildLayer, type LayerStack, packedDiffIds } from '../solver/layer.ts'
import type { AccountFileReader } from './copy-owner.ts'
import { contentDigest } from './copy-key.ts'
import { EMPTY_VIEW } from './copy-place.ts'
import { planCopy } from './copy-plan.ts'
import { type SelectedSource, selectSources } from './copy-select.ts'
import type { SourceTree } from './copy-source.ts'
import type { StepCache } from './cached-step.ts'
import { splitPattern } from './match.ts'
import { openArchive } from './open-archive.ts'
import { packPlanned, type PackEntriesParts } from './pack-entries.ts'
import { StackTree } from './stack-tree.ts'
import type { StepPlace } from './step-place.ts'

export interface CopyNodeParts extends PackEntriesParts {
  readonly cache: StepCache
  readonly records: CacheRecords
  readonly remote: RemoteCaches | undefined
  readonly journal: CacheJournal
  readonly kernel: Pick<Kernel, 'createPacker' | 'readLayer'>
  /** The filesystem of a stack as a tree; waits until it is packed. */
  readonly openStack: (stack: LayerStack, description: string) => Promise<StackTree>
  readonly accounts: (tree: StackTree) => AccountFileReader
  readonly nowMs: () => number
}

/** A source of COPY: layers of a stage or image, or files on the host. */
export type CopyInput =
  | { readonly kind: 'stack'; readonly layers: LayerStack; readonly description: string }
  | { readonly kind: 'files'; readonly tree: SourceTree }

/** Does a COPY or ADD: its layer, cached or packed. */
export async function copyNode(
  node: CopyNode,
  inputs: {
    readonly parent: LayerStack
    readonly sources: ReadonlyMap<NodeId, CopyInput>
    readonly place: StepPlace
  },
  parts: CopyNodeParts,
  signal: AbortSignal,
): Promise<BuildLayer> {
  // --link makes a layer that does not depend on what is below it (features row D108).
  const parent = node.link ? 'scratch' : parentName(await packedDiffIds(inputs.parent))
  const alias = await aliasOf(node, parent, inputs.sources)
  const recorded = alias && (await parts.records.readAlias(alias.key))
  const known = await knownInputs(alias, recorded, parts)
  let selection: SelectedSource[] | undefined
  const select = async (): Promise<SelectedSource[]> => {
    selection ??= await selectSources({
      node,
      treeOf: (source) => treeOf(source.from, inputs.sources, parts),
    })
    return selection
  }
  const keyInputs = known ?? copyInputs(node, parent, await select())
  const layer = await parts.cache.run(
    {
      ...inputs.place,
      title: node.origin.title,
      ignoreCache: node.origin.ignoreCache,
      inputs: keyInputs,
      finalInputs: async () => keyInputs,
      execute: async (_step, inner) => {
        const entries = await plan(node, await select(), inputs.parent, parts, inner)
        const createdAt = new Date(parts.nowMs()).toISOString()
        const packing = packPlanned(entries, createdAt, parts, inner)
        await packing
        return { directory: undefined, packing }
      },
    },
    signal,
  )
  if (alias !== undefined) {
    const key = cacheKeyOf(keyInputs)
    if (!alias.isLocal) {
      parts.journal.alias(alias.key, key)
    }
    if (recorded !== key) {
      await parts.records.writeAlias(alias.key, key)
    }
  }
  return layer
}

interface Alias {
  readonly key: CacheKey
  /** Made of files of this host: it means nothing elsewhere. */
  readonly isLocal: boolean
}

/**
 * A COPY from stages and images has a key that is known from their layers alone, so a cached build reads no table of
 * contents; one from a context that did not change since an earlier build has one too, so it reads no list of files.
 * Undefined when the sources have to be looked at.
 */
async function aliasOf(
  node: CopyNode,
  parent: string,
  sources: ReadonlyMap<NodeId, CopyInput>,
): Promise<Alias | undefined> {
  const names: string[] = []
  let isLocal = false
  for (const source of node.sources) {
    const input = source.type === 'path' ? sources.get(source.from) : undefined
    if (source.type !== 'path' || input === undefined) {
      return undefined
    }
    const isFiles = input.kind === 'files'
    const name = isFiles
      ? await stateOfFiles(node, source.pattern, input.tree)
      : parentName(await packedDiffIds(input.layers))
    if (name === undefined) {
      return undefined
    }
    names.push(isFiles ? `files ${name}` : name)
    isLocal ||= isFiles
  }
  const { id: _id, origin: _origin, parent: _parent, sources: written, ...options } = node
  const definition: KeyValue = {
    ...options,
    sources: written.map((source) =>
      source.type === 'path' ? { ...source, from: 0 } : { ...source },
    ),
  }
  return { key: aliasKeyOf({ parent, definition, sources: names }), isLocal }
}

/** What a source selects lies at and below one path when it has no wildcard and selects no parents. */
async function stateOfFiles(
  node: CopyNode,
  pattern: string,
  tree: SourceTree,
): Promise<string | undefined> {
  const { base, patterns } = splitPattern(pattern)
  return node.parents || patterns.length > 0 ? undefined : await tree.stateOf?.(base)
}

async function knownInputs(
  alias: Alias | undefined,
  recorded: CacheKey | undefined,
  { records, remote }: CopyNodeParts,
): Promise<CopyInputs | undefined> {
  if (alias === undefined) {
    return undefined
  }
  for (const key of [recorded, alias.isLocal ? undefined : await remote?.alias(alias.key)]) {
    const step = key && ((await records.readStep(key)) ?? (await remote?.step(key)))
    if (step?.inputs?.kind === 'copy') {
      return step.inputs
    }
  }
  return undefined
}

function copyInputs(
  node: CopyNode,
  parent: string,
  selection: readonly SelectedSource[],
): CopyInputs {
  return {
    kind: 'copy',
    parent,
    dest: node.dest,
    destIsDirectory: node.destIsDirectory,
    chown: node.chown,
    chmod: node.chmod,
    parents: node.parents,
    unpack: node.sources.map((source) => (source.type === 'path' ? source.unpack : 'inline')),
    epochSec: node.epochSec,
    sources: selection.map((selected) => ({
      pattern: selected.type === 'path' ? selected.source.pattern : selected.name,
      content: contentDigest(selected),
    })),
  }
}

async function plan(
  node: CopyNode,
  selection: readonly SelectedSource[],
  parent: LayerStack,
  parts: CopyNodeParts,
  signal: AbortSignal,
): Promise<PackEntry[]> {
  await unpackSources(selection, signal)
  const base =
    node.link || parent.length === 0 ? undefined : await parts.openStack(parent, 'the image so far')
  return await planCopy({
    node,
    selection,
    base: base ?? EMPTY_VIEW,
    // Without a filesystem there are no names, only numbers (features rows D104, D108).
    readAccounts: base === undefined ? undefined : parts.accounts(base),
    openArchive: (tree, match) => openArchive(tree, match, parts, signal),
    nowSec: Math.floor(parts.nowMs() / 1000),
  })
}

/** What is copied out of layers must lie unpacked: only the layers that hold selected files do. */
async function unpackSources(
  selection: readonly SelectedSource[],
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(
    selection.map(async (selected) => {
      if (selected.type === 'path' && selected.tree instanceof StackTree) {
        await selected.tree.unpackFor(filesOf(selected.matches), signal)
      }
    }),
  )
}

function* filesOf(
  matches: Extract<SelectedSource, { type: 'path' }>['matches'],
): Generator<string> {
  for (const { entry, items } of matches) {
    yield entry.path
    for (const item of items) {
      if (item.entry.type === 'file') {
        yield item.entry.path
      }
    }
  }
}

async function treeOf(
  id: NodeId,
  sources: ReadonlyMap<NodeId, CopyInput>,
  parts: CopyNodeParts,
): Promise<SourceTree> {
  const input = sources.get(id)
  if (input === undefined) {
    throw new RangeError(`node ${id} is no source of this COPY`)
  }
  return input.kind === 'files'
    ? input.tree
    : await parts.openStack(input.layers, input.description)
}
