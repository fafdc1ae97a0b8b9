import type { LayerPath } from '../../snapshotter/index.ts'
import type { DraftMetadata, LayerDraft } from './copy-draft.ts'
import { CopyError } from './copy-errors.ts'
import type { Owner } from './copy-owner.ts'
import { resolvePath } from './copy-resolve.ts'
import type { TreeEntry, TreeView } from './copy-source.ts'

/** A filesystem with nothing in it: what --link copies to, and scratch. */
export const EMPTY_VIEW: TreeView = {
  lookup: (path) => Promise.resolve(path === '' ? EMPTY_ROOT : undefined),
  list: () => Promise.resolve([]),
}

const SETGID = 0o2000

const EMPTY_ROOT: TreeEntry = { type: 'dir', path: '', mode: 0o755, uid: 0, gid: 0, mtimeSec: 0 }

/** Where writing to `path` lands, all symlinks followed inside the root; `copy-conflict` when a file is in the way. */
export async function resolveForWriting(
  view: Pick<TreeView, 'lookup'>,
  path: string,
): Promise<LayerPath> {
  const resolved = await resolvePath(view, path)
  if (resolved.blockedBy !== undefined) {
    throw notDirectory(resolved.path, resolved.blockedBy)
  }
  return resolved.path
}

/** What directories that a step makes on the way to its destination are to be. */
export interface MadeDirectory extends Pick<DraftMetadata, 'mode' | 'mtimeSec'> {
  /** Undefined: root's, and of the group that the kernel gives. */
  readonly owner: Owner | undefined
}

/**
 * Makes the missing ones of the directories of `path`, which is resolved; existing ones stay as they are. As with
 * mkdir(2), a directory made in a set-group-id directory is set-group-id too, and of the same group when no owner is
 * asked for.
 */
export async function makeDirectories(
  draft: LayerDraft,
  path: LayerPath,
  { mode, mtimeSec, owner }: MadeDirectory,
): Promise<void> {
  const components = path === '' ? [] : path.split('/')
  let parent = await draft.lookup('')
  for (let length = 1; length <= components.length; length += 1) {
    const directory = components.slice(0, length).join('/')
    const existing = await draft.lookup(directory)
    if (existing === undefined) {
      const setgid = (parent?.mode ?? 0) & SETGID
      const inherited = { uid: 0, gid: setgid === 0 ? 0 : (parent?.gid ?? 0) }
      const { uid, gid } = owner ?? inherited
      const made: DraftMetadata = { mode: mode | setgid, uid, gid, mtimeSec }
      await draft.makeDirectory(directory, made)
      parent = { ...made, type: 'dir', path: directory }
    } else if (existing.type === 'dir') {
      parent = existing
    } else {
      throw notDirectory(path, directory)
    }
  }
}

function notDirectory(path: LayerPath, blockedBy: LayerPath): CopyError {
  return new CopyError('copy-conflict', `could not make /${path}: /${blockedBy} is not a directory`)
}
