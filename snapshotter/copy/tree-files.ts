import { chmod, lchown, lutimes } from 'node:fs/promises'
import type { LayerPath } from '../layer/entry.ts'
import { encodePath } from '../layer/path-bytes.ts'
import type { Kernel } from '../native/kernel-types.ts'
import type { DiffEntry } from '../snapshotter.ts'

/** Whether owners, devices and privileged attributes can be kept (`none`: an ordinary user without namespaces). */
export type Ownership = 'owners' | 'none'

type DirectoryEntry = Extract<DiffEntry, { type: 'dir' }>

export interface TreeFilesOptions {
  readonly kernel: Pick<Kernel, 'setXattr' | 'makeNode'>
  readonly ownership: Ownership
}

/** Absolute path of `path` below `root`, with the bytes of names that are not UTF-8. */
export function bytesBelow(root: string, path: LayerPath): Buffer {
  return Buffer.concat([Buffer.from(path === '' ? root : `${root}/`), encodePath(path)])
}

/** Everything but the time, which the entries still to be made in it would change: see `setTime`. */
export async function setMetadata(
  root: string,
  entry: DirectoryEntry,
  { kernel, ownership }: TreeFilesOptions,
): Promise<void> {
  const path = bytesBelow(root, entry.path)
  // chown(2) clears set-id bits, so the owner comes first.
  if (ownership === 'owners') await lchown(path, entry.uid, entry.gid)
  await chmod(path, entry.mode)
  for (const { name, value } of entry.xattrs ?? []) {
    if (ownership === 'owners' || name.startsWith('user.')) {
      kernel.setXattr(`${root}/${entry.path}`, name, value)
    }
  }
}

export async function setTime(root: string, entry: DirectoryEntry): Promise<void> {
  await lutimes(bytesBelow(root, entry.path), entry.mtimeSec, entry.mtimeSec)
}
