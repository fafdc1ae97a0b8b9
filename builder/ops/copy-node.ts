import type { CopyNode, Node, NodeId } from '../../frontend/index.ts'
import type { DiffId } from '../../registry-client/oci/index.ts'
import { EntryFile, type Kernel } from '../../snapshotter/index.ts'
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
import { type BuildLayer, knownDiffIds, type LayerStack, packedDiffIds } from '../solver/layer.ts'
import { BaseView } from './base-view.ts'
import type { AccountFileReader } from './copy-owner.ts'
import { EMPTY_VIEW } from './copy-place.ts'
import { planCopy } from './copy-plan.ts'
import { type Selection, type SelectedSource, selectSources } from './copy-select.ts'
import { placeOf, type SourceTree } from './copy-source.ts'
import type { StepCache } from './cached-step.ts'
import type { LayerAccess } from './layer-access.ts'
import { madeStep, type MadeStepParts } from './made-step.ts'
import { splitPattern } from './match.ts'
import { openArchive } from './open-archive.ts'
import { StackTree } from './stack-tree.ts'
import type { StepPlace } from './step-place.ts'

export interface CopyNodeParts extends MadeStepParts {
  readonly cache: StepCache
  readonly records: CacheRecords
  readonly remote: RemoteCaches | undefined
  readonly journal: CacheJournal
  readonly kernel: Pick<Kernel, 'createPacker' | 'readLayer'>
  readonly access: Pick<LayerAccess, 'index'>
  /** The filesystem of a stack as a tree; waits until it is packed. */
  readonly openStack: (stack: LayerStack, description: string) => Promise<StackTree>
  readonly accounts: (view: BaseView) => AccountFileReader
  /** Watches work that outlives its step (Scheduler.background). */
  readonly background: (work: Promise<unknown>) => void
  /** All paths and patterns that the steps of the node's build take out of a context. */
  readonly takenFrom: (node: CopyNode, context: NodeId) => readonly string[]
  /** An error with its place in the Dockerfile. */
  readonly located: (error: unknown, node: Node) => unknown
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
    /** A RUN that will be executed sees the layer. */
    readonly isReadByRun: boolean
  },
  parts: CopyNodeParts,
  signal: AbortSignal,
): Promise<BuildLayer> {
  if (node.origin.ignoreCache) startWorker(inputs, parts)
  // --link makes a layer that does not depend on what is below it (features row D108).
  const below = node.link ? [] : inputs.parent
  // Before anything is selected: what changes from now on is not what the names stand for.
  const names = await aliasNames(node, inputs.sources)
  await using selection = new CopySelection(node, inputs.sources, parts)
  const knownBelow = knownDiffIds(below)
  const recorded = knownBelow && (await recordedCopy(node, knownBelow, names, parts))
  const inputsOver = async (diffIds: readonly DiffId[]): Promise<CopyInputs> =>
    recorded?.inputs ?? copyInputs(node, parentName(diffIds), await selection.contents())
  // Over a layer that is being packed there can be no record: nobody else has that filesystem.
  const keyInputs = knownBelow && (await inputsOver(knownBelow))
  const layer = await parts.cache.run(
    {
      ...inputs.place,
      title: node.origin.title,
      ignoreCache: node.origin.ignoreCache,
      inputs: keyInputs,
      finalInputs: async () => await inputsOver(await packedDiffIds(below)),
      inputsOver: async (parent) => copyInputs(node, parent, await selection.contents()),
      execute: async (_step, inner) => {
        startWorker(inputs, parts)
        await using taken = await selection.take()
        const entries = await plan(node, taken.sources, inputs.parent, parts, inner)
        const named = (error: unknown): unknown => parts.located(error, node)
        return await madeStep(entries, { isReadByRun: inputs.isReadByRun, named }, parts, inner)
      },
    },
    signal,
  )
  if (names !== undefined) {
    const remember = async (diffIds: readonly DiffId[]): Promise<void> =>
      await rememberAlias(node, diffIds, names, await inputsOver(diffIds), parts)
    // A layer that cannot be packed has no step that the second key could lead to.
    parts.background(layer.packing.then(() => packedDiffIds(below)).then(remember))
  }
  return layer
}

/** It makes the directory for the RUN: until the entries are planned it can be there. */
function startWorker(
  { isReadByRun }: { readonly isReadByRun: boolean },
  parts: CopyNodeParts,
): void {
  // Whoever uses it is told why it did not start.
  if (isReadByRun) parts.worker().catch(() => undefined)
}

/** What the sources select, looked for once; the lists are kept until they are taken, or the step has ended. */
class CopySelection implements AsyncDisposable {
  readonly #find: () => Promise<Selection>
  #found: Promise<Selection> | undefined
  #contents: CopyInputs['sources'] | undefined

  constructor(node: CopyNode, sources: ReadonlyMap<NodeId, CopyInput>, parts: CopyNodeParts) {
    this.#find = async () =>
      await selectSources({
        node,
        treeOf: (source) => treeOf(source.from, sources, parts),
        takenFrom: (source) => parts.takenFrom(node, source.from),
        reader: 'copy',
        newFile: () => parts.store.lease.temporaryPath(),
      })
  }

  async contents(): Promise<CopyInputs['sources']> {
    if (this.#contents === undefined) {
      this.#found ??= this.#find()
      const { sources } = await this.#found
      this.#contents = sources.map((source) => ({
        pattern: source.type === 'path' ? source.source.pattern : source.name,
        content: source.digest,
      }))
    }
    return this.#contents
  }

  /** For the caller to dispose; once. */
  async take(): Promise<Selection> {
    await this.contents()
    const found = this.#found
    this.#found = undefined
    if (found === undefined) {
      throw new TypeError('a selection is taken once')
    }
    return await found
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Whoever asked for it was told why it failed.
    const [found] = await Promise.allSettled([this.#found])
    if (found.status === 'fulfilled') {
      await found.value?.[Symbol.asyncDispose]()
    }
  }
}

interface AliasNames {
  /** One for each source: what it holds. */
  readonly names: readonly string[]
  /** Made of files of this host: they mean nothing elsewhere. */
  readonly isLocal: boolean
}

/**
 * A COPY from stages and images has a key that is known from their layers alone, so a cached build reads no table of
 * contents; one from a context that did not change since an earlier build has one too, so it reads no list of files.
 * Undefined when the sources have to be looked at.
 */
async function aliasNames(
  node: CopyNode,
  sources: ReadonlyMap<NodeId, CopyInput>,
): Promise<AliasNames | undefined> {
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
  return { names, isLocal }
}

function aliasOf(node: CopyNode, below: readonly DiffId[], { names }: AliasNames): CacheKey {
  const { id: _id, origin: _origin, parent: _parent, sources: written, ...options } = node
  const definition: KeyValue = {
    ...options,
    sources: written.map((source) =>
      source.type === 'path' ? { ...source, from: 0 } : { ...source },
    ),
  }
  return aliasKeyOf({ parent: parentName(below), definition, sources: names })
}

async function rememberAlias(
  node: CopyNode,
  below: readonly DiffId[],
  names: AliasNames,
  inputs: CopyInputs,
  { journal, records }: CopyNodeParts,
): Promise<void> {
  const alias = aliasOf(node, below, names)
  const key = cacheKeyOf(inputs)
  if (!names.isLocal) {
    journal.alias(alias, key)
  }
  if ((await records.readAlias(alias)) === key) {
    await records.touchAlias(alias)
  } else {
    await records.writeAlias(alias, key)
  }
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

/** What the key of this COPY was made of in an earlier build, here or wherever a cache is from. */
async function recordedCopy(
  node: CopyNode,
  below: readonly DiffId[],
  names: AliasNames | undefined,
  { records, remote }: CopyNodeParts,
): Promise<{ readonly inputs: CopyInputs } | undefined> {
  if (names === undefined) {
    return undefined
  }
  const alias = aliasOf(node, below, names)
  const places = [
    () => records.readAlias(alias),
    () => (names.isLocal ? undefined : remote?.alias(alias)),
  ]
  for (const place of places) {
    const key = await place()
    const step = key && ((await records.readStep(key)) ?? (await remote?.step(key)))
    if (step?.inputs?.kind === 'copy') {
      return { inputs: step.inputs }
    }
  }
  return undefined
}

function copyInputs(node: CopyNode, parent: string, sources: CopyInputs['sources']): CopyInputs {
  return {
    kind: 'copy',
    parent,
    dest: node.dest,
    destIsDirectory: node.destIsDirectory,
    chown: node.chown,
    chmod: node.chmod,
    parents: node.parents,
    exclude: node.exclude.length === 0 ? undefined : node.exclude,
    unpack: node.sources.map((source) => (source.type === 'path' ? source.unpack : 'inline')),
    epochSec: node.epochSec,
    sources,
  }
}

async function plan(
  node: CopyNode,
  selection: readonly SelectedSource[],
  parent: LayerStack,
  parts: CopyNodeParts,
  signal: AbortSignal,
): Promise<EntryFile> {
  await unpackSources(selection, signal)
  const base =
    node.link || parent.length === 0 ? undefined : await BaseView.open(parent, parts.access, signal)
  const pages = planCopy({
    node,
    selection,
    base: base ?? EMPTY_VIEW,
    // Without a filesystem there are no names, only numbers (features rows D104, D108).
    readAccounts: base === undefined ? undefined : parts.accounts(base),
    openArchive: (tree, match) => openArchive(tree, match, parts, signal),
    nowSec: Math.floor(parts.nowMs() / 1000),
  })
  return await EntryFile.of(() => parts.store.lease.temporaryPath(), pages)
}

/** What is copied out of layers must lie unpacked: only the layers that hold selected files do. */
async function unpackSources(
  selection: readonly SelectedSource[],
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(
    selection.map(async (selected) => {
      if (selected.type === 'path' && selected.tree instanceof StackTree) {
        await selected.tree.unpackFor(rootsOf(selected.matches), signal)
      }
    }),
  )
}

/** Of the places of the files that were selected. */
export function rootsOf(
  matches: Extract<SelectedSource, { type: 'path' }>['matches'],
): ReadonlySet<string> {
  const roots = new Set<string>()
  for (const { entry, items } of matches) {
    if (entry.type === 'file') roots.add(placeOf(entry).root)
    for (const root of items.roots) roots.add(root)
  }
  return roots
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
