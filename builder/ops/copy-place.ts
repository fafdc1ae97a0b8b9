import type { LayerPath } from '../../snapshotter/index.ts'
import type { DraftMetadata, LayerDraft } from './copy-draft.ts'
import { CopyError } from './copy-errors.ts'
import { resolvePath } from './copy-resolve.ts'
import type { TreeEntry, TreeView } from './copy-source.ts'

/** A filesystem with nothing in it: what --link copies to, and scratch. */
export const EMPTY_VIEW: TreeView = {
  lookup: (path) => Promise.resolve(path === '' ? EMPTY_ROOT : undefined),
  list: () => Promise.resolve([]),
}

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

/** Makes the missing ones of the directories of `path`, which is resolved; existing ones stay as they are. */
export async function makeDirectories(
  draft: LayerDraft,
  path: LayerPath,
  metadata: DraftMetadata,
): Promise<void> {
  const components = path === '' ? [] : path.split('/')
  for (let length = 1; length <= components.length; length += 1) {
    const directory = components.slice(0, length).join('/')
    const existing = await draft.lookup(directory)
    if (existing === undefined) {
      await draft.makeDirectory(directory, metadata)
    } else if (existing.type !== 'dir') {
      throw notDirectory(path, directory)
    }
  }
}

function notDirectory(path: LayerPath, blockedBy: LayerPath): CopyError {
  return new CopyError('copy-conflict', `could not make /${path}: /${blockedBy} is not a directory`)
}
