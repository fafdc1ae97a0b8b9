import type { MkdirNode } from '../../frontend/index.ts'
import { type MkdirInputs, parentName } from '../solver/cache-key.ts'
import { type BuildLayer, type LayerStack, packedDiffIds } from '../solver/layer.ts'
import type { CopyNodeParts } from './copy-node.ts'
import { EMPTY_VIEW } from './copy-place.ts'
import { planMkdir } from './mkdir.ts'
import { packPlanned } from './pack-entries.ts'
import type { StepPlace } from './step-place.ts'

/** Does a WORKDIR: the layer with the directories that are missing, empty when all are there (features rows D91, O15). */
export async function mkdirNode(
  node: MkdirNode,
  inputs: { readonly parent: LayerStack; readonly place: StepPlace },
  parts: CopyNodeParts,
  signal: AbortSignal,
): Promise<BuildLayer> {
  const { parent, place } = inputs
  const keyInputs: MkdirInputs = {
    kind: 'mkdir',
    parent: parentName(await packedDiffIds(parent)),
    path: node.path,
    user: node.user,
    epochSec: node.epochSec,
  }
  return await parts.cache.run(
    {
      ...place,
      title: node.origin.title,
      ignoreCache: node.origin.ignoreCache,
      inputs: keyInputs,
      finalInputs: async () => keyInputs,
      execute: async (_step, inner) => {
        const base =
          parent.length === 0 ? undefined : await parts.openStack(parent, 'the image so far')
        const entries = await planMkdir({
          node,
          base: base ?? EMPTY_VIEW,
          readAccounts:
            base === undefined ? () => Promise.resolve(undefined) : parts.accounts(base),
          nowSec: Math.floor(parts.nowMs() / 1000),
        })
        const createdAt = new Date(parts.nowMs()).toISOString()
        const packed = await packPlanned(entries, createdAt, parts, inner)
        return { directory: undefined, packing: Promise.resolve(packed) }
      },
    },
    signal,
  )
}
