import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DiffEntry, LayerDirectory } from '../snapshotter.ts'
import { errnoOf } from '../store/errors.ts'
import type { LayerPath } from './entry.ts'
import { comparePaths, parentOf } from './order.ts'

/** Beside `fs/`; absent for almost every layer. */
const IMPLIED_FILE = 'implied'

/**
 * Directories that a layer's entries need and do not describe. Layers unpack side by side, so what a lower layer says of such
 * a directory is not known then: it is made as 0755 and noted, and a snapshot over the layers puts it right.
 */
export function impliedDirectories(entries: readonly DiffEntry[]): LayerPath[] {
  const described = new Set<LayerPath>([''])
  for (const { type, path } of entries) if (type === 'dir') described.add(path)
  const implied = new Set<LayerPath>()
  for (const { path } of entries) {
    for (let at = parentOf(path); !described.has(at) && !implied.has(at); at = parentOf(at)) {
      implied.add(at)
    }
  }
  return [...implied].sort(comparePaths)
}

/** Notes the implied directories of a layer that was unpacked from a tar with these entries. Call it before the layer is recorded. */
export async function noteImpliedDirectories(
  directory: LayerDirectory,
  entries: readonly DiffEntry[],
): Promise<void> {
  const implied = impliedDirectories(entries)
  if (implied.length === 0) return
  await writeFile(join(directory.path, IMPLIED_FILE), JSON.stringify(implied), { flag: 'wx' })
}

/** The noted directories, sorted; mostly none. */
export async function readImpliedDirectories(directory: LayerDirectory): Promise<LayerPath[]> {
  let text: string
  try {
    text = await readFile(join(directory.path, IMPLIED_FILE), 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  }
  const value: unknown = JSON.parse(text)
  return Array.isArray(value) ? value.filter((path) => typeof path === 'string') : []
}
