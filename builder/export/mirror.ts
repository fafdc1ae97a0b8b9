import { readdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { relative, resolve } from 'node:path'
import { decodePath, encodePath, type Kernel, type LayerPath } from '../../snapshotter/index.ts'
import { ExportError } from './errors.ts'
import { isUsedWorkDirectory } from './work-directory.ts'

/**
 * `mode=delete` (features row C68) removes what is at the destination and not in the result. Throws
 * `destination-unusable` where that can only be a mistake: the root, the home, a directory that we are in.
 */
export function checkMirrorDestination(dest: string, cwd: string): void {
  const path = resolve(cwd, dest)
  const fromDest = relative(path, cwd)
  const holdsUs = fromDest === '' || !fromDest.startsWith('..')
  if (holdsUs || path === resolve(homedir())) {
    throw new ExportError(
      'destination-unusable',
      `could not use ${path} with mode=delete: everything else in it would be removed; give a directory of its own`,
    )
  }
}

/** Adds paths that stay, in a form that bytes of any encoding can be compared with. */
export function keepPaths(
  kept: Set<string>,
  entries: readonly { readonly path: LayerPath }[],
): void {
  for (const { path } of entries) kept.add(encodePath(path).toString('latin1'))
}

/**
 * Removes what is below `root` and not in `kept`; links are removed, never followed. What another process unpacks beside it
 * for an export of its own stays.
 */
export async function removeOthers(
  root: string,
  kept: ReadonlySet<string>,
  kernel: Pick<Kernel, 'removeTree' | 'tryLock'>,
  signal: AbortSignal,
): Promise<void> {
  const visit = async (directory: Buffer, prefix: string): Promise<void> => {
    for (const entry of await readdir(directory, { withFileTypes: true, encoding: 'buffer' })) {
      signal.throwIfAborted()
      const path = Buffer.concat([directory, Buffer.from('/'), entry.name])
      const name = prefix + entry.name.toString('latin1')
      if (!kept.has(name)) {
        if (await isUsedWorkDirectory(root, name, kernel)) continue
        await kernel.removeTree(decodePath(path), signal)
      } else if (entry.isDirectory()) {
        await visit(path, `${name}/`)
      }
    }
  }
  await visit(Buffer.from(root), '')
}
