import type { MkdirNode } from '../../frontend/index.ts'
import type { DiffId } from '../../registry-client/oci/index.ts'
import { EntryFile } from '../../snapshotter/index.ts'
import { type MkdirInputs, parentName } from '../solver/cache-key.ts'
import { type BuildLayer, knownDiffIds, type LayerStack, packedDiffIds } from '../solver/layer.ts'
import { BaseView } from './base-view.ts'
import type { CopyNodeParts } from './copy-node.ts'
import { EMPTY_VIEW } from './copy-place.ts'
import { madeStep } from './made-step.ts'
import { planMkdir } from './mkdir.ts'
import type { StepPlace } from './step-place.ts'
import { TimeWatch } from './timeless.ts'

/** Does a WORKDIR: the layer with the directories that are missing, empty when all are there (features rows D91, O15). */
export async function mkdirNode(
  node: MkdirNode,
  inputs: {
    readonly parent: LayerStack
    readonly place: StepPlace
    readonly isReadByRun: boolean
  },
  parts: CopyNodeParts,
  signal: AbortSignal,
): Promise<BuildLayer> {
  const { parent, place, isReadByRun } = inputs
  const inputsOver = (diffIds: readonly DiffId[]): MkdirInputs => ({
    kind: 'mkdir',
    parent: parentName(diffIds),
    path: node.path,
    user: node.user,
    epochSec: node.epochSec,
  })
  const known = knownDiffIds(parent)
  return await parts.cache.run(
    {
      ...place,
      title: node.origin.title,
      ignoreCache: node.origin.ignoreCache,
      // Over a layer that is being packed there can be no record: nobody else has that filesystem.
      inputs: known && inputsOver(known),
      finalInputs: async () => inputsOver(await packedDiffIds(parent)),
      execute: async (_step, inner) => {
        const base =
          parent.length === 0 ? undefined : await BaseView.open(parent, parts.access, inner)
        const time = new TimeWatch(node.epochSec ?? Math.floor(parts.nowMs() / 1000))
        const planned = await planMkdir({
          node,
          base: base ?? EMPTY_VIEW,
          readAccounts:
            base === undefined ? () => Promise.resolve(undefined) : parts.accounts(base),
          nowSec: time.timeSec,
        })
        const named = (error: unknown): unknown => parts.located(error, node)
        const newFile = (): string => parts.store.lease.temporaryPath()
        const entries = await EntryFile.of(newFile, time.over([planned]))
        const made = await madeStep(entries, { isReadByRun, named }, parts, inner)
        return { ...made, isTimeless: time.isTimeless }
      },
    },
    signal,
  )
}
