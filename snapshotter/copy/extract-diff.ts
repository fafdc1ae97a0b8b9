import { mkdir, rename } from 'node:fs/promises'
import type { DiffEntry } from '../snapshotter.ts'
import { type TreeFilesOptions, bytesBelow, setMetadata, setTime } from './tree-files.ts'

/**
 * Makes the overlay form of `changes` below `target` (an empty directory) out of the tree `source` that they were found in, by
 * moving: `source` is not a whole tree afterwards. Hardlinks stay links because inodes are moved, not copied.
 */
export async function extractDiff(
  changes: readonly DiffEntry[],
  roots: { readonly source: string; readonly target: string },
  options: TreeFilesOptions,
): Promise<void> {
  const { source, target } = roots
  const directories = []
  for (const entry of changes) {
    const { path, type } = entry
    if (type === 'whiteout') {
      // Anybody may make this one device (mknod(2) allows 0/0 without CAP_MKNOD since Linux 5.8).
      options.kernel.makeNode(`${target}/${path}`, 'char', { mode: 0, major: 0, minor: 0 })
    } else if (type === 'dir') {
      await mkdir(bytesBelow(target, path))
      await setMetadata(target, entry, options)
      directories.push(entry)
    } else if (type !== 'opaque') {
      await rename(bytesBelow(source, path), bytesBelow(target, path))
    }
  }
  for (const entry of directories.reverse()) await setTime(target, entry)
}
