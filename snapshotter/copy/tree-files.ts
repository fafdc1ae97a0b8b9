import { chmod, lchown, lutimes, mkdir, symlink } from 'node:fs/promises'
import type { LayerPath } from '../layer/entry.ts'
import { encodePath } from '../layer/path-bytes.ts'
import type { TreeEntry } from '../layer/tree.ts'
import type { Kernel } from '../native/kernel-types.ts'
import type { DiffEntry } from '../snapshotter.ts'
import { copyContent } from './copy-file.ts'

/** Whether owners, devices and privileged attributes can be kept (`none`: an ordinary user without namespaces). */
export type Ownership = 'owners' | 'none'

export interface TreeFilesOptions {
  readonly kernel: Pick<Kernel, 'setXattr' | 'makeNode'>
  readonly ownership: Ownership
}

/** Absolute path of `path` below `root`, with the bytes of names that are not UTF-8. */
export function bytesBelow(root: string, path: LayerPath): Buffer {
  return Buffer.concat([Buffer.from(path === '' ? root : `${root}/`), encodePath(path)])
}

/**
 * Makes `entry` at its path below `root`, where nothing is; its parent must be a directory made by us (nobody else writes
 * below `root`, so no symlink can be in the way). File bytes come from `source`, by reflink where the filesystem can.
 */
export async function makeEntry(
  root: string,
  entry: TreeEntry<DiffEntry>,
  source: Buffer,
  options: TreeFilesOptions,
): Promise<void> {
  const path = bytesBelow(root, entry.path)
  switch (entry.type) {
    case 'dir':
      await mkdir(path)
      break
    case 'file':
      await copyContent(source, path)
      break
    case 'symlink':
      await symlink(encodePath(entry.target), path)
      break
    case 'char':
    case 'block':
      if (options.ownership === 'none') return
      options.kernel.makeNode(`${root}/${entry.path}`, entry.type, entry)
      break
    case 'fifo':
      options.kernel.makeNode(`${root}/${entry.path}`, 'fifo', {
        mode: entry.mode,
        major: 0,
        minor: 0,
      })
      break
  }
  await setMetadata(root, entry, options)
}

/** Everything but the time of a directory, which the entries still to be made in it would change: see `setTime`. */
export async function setMetadata(
  root: string,
  entry: TreeEntry<DiffEntry>,
  { kernel, ownership }: TreeFilesOptions,
): Promise<void> {
  const path = bytesBelow(root, entry.path)
  // chown(2) clears set-id bits and file capabilities, so the owner comes first.
  if (ownership === 'owners') await lchown(path, entry.uid, entry.gid)
  if (entry.type !== 'symlink') {
    await chmod(path, entry.mode)
    for (const { name, value } of entry.xattrs ?? []) {
      if (ownership === 'owners' || name.startsWith('user.')) {
        kernel.setXattr(`${root}/${entry.path}`, name, value)
      }
    }
  }
  if (entry.type !== 'dir') await setTime(root, entry)
}

export async function setTime(root: string, entry: TreeEntry<DiffEntry>): Promise<void> {
  await lutimes(bytesBelow(root, entry.path), entry.mtimeSec, entry.mtimeSec)
}
