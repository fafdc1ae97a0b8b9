import type { CopyNode, Node, NodeId } from '../../frontend/index.ts'
import type { DiffId } from '../../registry-client/oci/index.ts'
import { EntryFile, type Kernel } from '../../snapshotter/index.ts'
import { type CopyInputs, parentName } from '../solver/cache-key.ts'
import { type BuildLayer, knownDiffIds, type LayerStack, packedDiffIds } from '../solver/layer.ts'
import { BaseView } from './base-view.ts'
import type { StepCache } from './cached-step.ts'
import { aliasNames, type CopyAliasParts, recordedCopy, rememberAlias } from './copy-alias.ts'
import type { AccountFileReader } from './copy-owner.ts'
import { EMPTY_VIEW } from './copy-place.ts'
import { planCopy } from './copy-plan.ts'
import type { SelectedSource } from './copy-select.ts'
import {
  type CopyInput,
  CopySelection,
  type CopySelectionParts,
  unpackSources,
} from './copy-selection.ts'
import type { LayerAccess } from './layer-access.ts'
import { madeStep, type MadeStepParts } from './made-step.ts'
import { openArchive } from './open-archive.ts'
import type { StepPlace } from './step-place.ts'
import { TimeWatch } from './timeless.ts'

export interface CopyNodeParts
  extends MadeStepParts,
    CopyAliasParts,
    Omit<CopySelectionParts, 'store'> {
  readonly cache: StepCache
  readonly kernel: Pick<Kernel, 'createPacker' | 'readLayer'>
  readonly access: Pick<LayerAccess, 'index'>
  readonly accounts: (view: BaseView) => AccountFileReader
  /** Watches work that outlives its step (Scheduler.background). */
  readonly background: (work: Promise<unknown>) => void
  /** An error with its place in the Dockerfile. */
  readonly located: (error: unknown, node: Node) => unknown
}

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
        const time = new TimeWatch(node.epochSec ?? Math.floor(parts.nowMs() / 1000))
        const entries = await plan(
          node,
          taken.sources,
          { parent: inputs.parent, time },
          parts,
          inner,
        )
        const named = (error: unknown): unknown => parts.located(error, node)
        const options = { isReadByRun: inputs.isReadByRun, named }
        const made = await madeStep(entries, options, parts, inner)
        return { ...made, isTimeless: time.isTimeless }
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
  { parent, time }: { readonly parent: LayerStack; readonly time: TimeWatch },
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
    nowSec: time.timeSec,
  })
  return await EntryFile.of(() => parts.store.lease.temporaryPath(), time.over(pages))
}
