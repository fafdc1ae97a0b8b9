import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LayerDirectory } from '../snapshotter.ts'
import { errnoOf } from '../store/errors.ts'
import type { LayerPath } from './entry.ts'

/** Beside `fs/`; absent for almost every layer. */
const IMPLIED_FILE = 'implied'

/**
 * Notes the directories that a layer's entries need and do not describe (`ReadLayerResult`), sorted. Layers unpack side by
 * side, so what a lower layer says of such a directory is not known then: it is made as 0755 and noted, and a snapshot over
 * the layers puts it right. Call it before the layer is recorded.
 */
export async function noteImpliedDirectories(
  directory: LayerDirectory,
  implied: readonly LayerPath[],
): Promise<void> {
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
