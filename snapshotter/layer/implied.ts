import { join } from 'node:path'
import type { LayerDirectory } from '../snapshotter.ts'
import { errnoOf } from '../store/errors.ts'
import { readText, writeText } from '../store/named-file.ts'
import type { LayerPath } from './entry.ts'

/** Beside `fs/`; absent for almost every layer. */
const IMPLIED_FILE = 'implied'
const WHAT = 'implied directories'

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
  const path = join(directory.path, IMPLIED_FILE)
  await writeText(WHAT, path, JSON.stringify(implied), { flag: 'wx' })
}

/** The noted directories, sorted; mostly none. */
export async function readImpliedDirectories(directory: LayerDirectory): Promise<LayerPath[]> {
  let text: string
  try {
    text = await readText(WHAT, join(directory.path, IMPLIED_FILE))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  }
  const value: unknown = JSON.parse(text)
  return Array.isArray(value) ? value.filter((path) => typeof path === 'string') : []
}
