import type { MkdirNode } from '../../frontend/index.ts'
import type { PackEntry } from '../../snapshotter/index.ts'
import { draftEntries, LayerDraft } from './copy-draft.ts'
import { type AccountFileReader, resolveOwner } from './copy-owner.ts'
import { makeDirectories, resolveForWriting } from './copy-place.ts'
import type { TreeView } from './copy-source.ts'

export interface PlanMkdirOptions {
  readonly node: Pick<MkdirNode, 'path' | 'user' | 'epochSec'>
  /** The filesystem below. */
  readonly base: Pick<TreeView, 'lookup'>
  readonly readAccounts: AccountFileReader | undefined
  readonly nowSec: number
}

/**
 * The layer of a WORKDIR: the directories that are missing on the way to it, 0755 and owned by the user, and the
 * existing ones above them as they are; no entries when all exist (features rows D91, O15). Symlinks are followed inside
 * the root. `copy-conflict` when a file is in the way.
 */
export async function planMkdir(options: PlanMkdirOptions): Promise<PackEntry[]> {
  const { path, user, epochSec } = options.node
  const draft = new LayerDraft(options.base)
  const target = await resolveForWriting(draft, path)
  if ((await draft.lookup(target))?.type === 'dir') {
    return []
  }
  const owner = user === '' ? undefined : await resolveOwner(user, options.readAccounts)
  const mtimeSec = epochSec ?? options.nowSec
  await makeDirectories(draft, target, { owner, mode: 0o755, mtimeSec })
  return draftEntries(draft.items())
}
