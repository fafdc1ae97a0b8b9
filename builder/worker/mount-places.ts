import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RootMount } from '../../snapshotter/index.ts'

/** What the kernel takes of lower directories (OVL_MAX_STACK). */
const LOWER_DIRS_MAX = 500

/**
 * Makes a directory that has the two files on which every step gets a mount: as the lowest layer it saves making them in the
 * upper directory, which copies /etc up, and taking all three out of the step's layer again (features row D75).
 */
export async function makeMountPlaces(workDir: string): Promise<string> {
  const directory = join(workDir, 'places')
  await mkdir(join(directory, 'etc'), { recursive: true, mode: 0o755 })
  for (const name of ['hosts', 'resolv.conf']) await writeFile(join(directory, 'etc', name), '')
  return directory
}

/** The root with the mount places below all layers; the files of an image hide them. */
export function withMountPlaces(root: RootMount, places: string): RootMount {
  if (root.type !== 'overlay' || root.lowerDirs.length >= LOWER_DIRS_MAX) return root
  return { ...root, lowerDirs: [...root.lowerDirs, places] }
}
