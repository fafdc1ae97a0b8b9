import { randomBytes } from 'node:crypto'
import { readdir, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Kernel } from '../native/kernel-types.ts'
import { errnoOf } from './errors.ts'
import type { StateRoot } from './root.ts'

/** Renames `path` into `work/trash`; where it lies now. undefined: it was absent. */
export async function moveToTrash(root: StateRoot, path: string): Promise<string | undefined> {
  const grave = join(root.workDir, 'trash', randomBytes(8).toString('hex'))
  try {
    await rename(path, grave)
    return grave
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Paths in the trash, of whoever left them. */
export async function listTrash(root: StateRoot): Promise<string[]> {
  const directory = join(root.workDir, 'trash')
  return (await readdir(directory)).map((name) => join(directory, name))
}

/**
 * Removes `paths`; several processes may do it at once. Returns those that hold files of sub-ids, which only a worker
 * can remove (features row X51): they stay in the trash until one does.
 */
export async function emptyTrash(
  paths: readonly string[],
  kernel: Pick<Kernel, 'removeTree'>,
  signal: AbortSignal,
): Promise<string[]> {
  const kept: string[] = []
  for (const path of paths) {
    try {
      await removeAny(path, kernel, signal)
    } catch (error) {
      const errno = errnoOf(error)
      if (errno !== 'EACCES' && errno !== 'EPERM') throw error
      kept.push(path)
    }
  }
  return kept
}

/** A blob is a file, everything else a tree. */
async function removeAny(
  path: string,
  kernel: Pick<Kernel, 'removeTree'>,
  signal: AbortSignal,
): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'EISDIR') return kernel.removeTree(path, signal)
    if (errno !== 'ENOENT') throw error
  }
}
