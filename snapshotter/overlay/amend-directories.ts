import type { Stats } from 'node:fs'
import { chmod, chown, lstat, lutimes, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { LayerPath } from '../layer/entry.ts'
import { readImpliedDirectories } from '../layer/implied.ts'
import { joinPath, parentOf } from '../layer/order.ts'
import { encodePath } from '../layer/path-bytes.ts'
import { isOpaqueOnHost } from '../layer/whiteout.ts'
import type { Kernel } from '../native/kernel-types.ts'
import type { LayerDirectory } from '../snapshotter.ts'
import { errnoOf } from '../store/errors.ts'

interface Layer {
  readonly root: string
  readonly implied: ReadonlySet<LayerPath>
}

/** What one layer has at a path. `hidden`: something that no lower directory shows through. */
type Found =
  | { readonly kind: 'absent' }
  | { readonly kind: 'hidden' }
  | { readonly kind: 'dir'; readonly stats: Stats; readonly isOpaque: boolean }

export interface AmendOptions {
  readonly kernel: Pick<Kernel, 'getXattr'>
  readonly userXattr: boolean
  /**
   * What layers imply, by their paths; filled here. A layer never changes, and each step of a build asks for all that lie
   * below it.
   */
  readonly known: Map<string, ReadonlySet<LayerPath>>
}

/**
 * Fills the new directory `target` with the directories that upper layers only imply, as lower layers describe them: as the topmost
 * lower directory it gives them back their mode, owner and time (a layer with just `tmp/x` must not take the sticky bit
 * from `/tmp`). False, and no directory, when no layer implies one, which is the rule.
 */
export async function amendDirectories(
  parents: readonly LayerDirectory[],
  target: string,
  options: AmendOptions,
): Promise<boolean> {
  const layers: Layer[] = []
  for (const parent of parents) {
    const implied = options.known.get(parent.path) ?? new Set(await readImpliedDirectories(parent))
    options.known.set(parent.path, implied)
    layers.push({ root: join(parent.path, 'fs'), implied })
  }
  const paths = new Set<LayerPath>()
  for (const { implied } of layers) {
    for (const path of implied) for (let at = path; at !== ''; at = parentOf(at)) paths.add(at)
  }
  if (paths.size === 0) return false
  await mkdir(target, { mode: 0o755 })
  const made = new Map<LayerPath, Stats>()
  // Shorter paths are parents of longer ones, never the other way.
  for (const path of [...paths].sort((a, b) => a.length - b.length)) {
    const stats = await describedAs(path, layers, options)
    const parent = parentOf(path)
    if (stats === undefined || !(parent === '' || made.has(parent))) continue
    const place = encodePath(`${target}/${path}`)
    await mkdir(place)
    await chown(place, stats.uid, stats.gid)
    await chmod(place, stats.mode & 0o7777)
    made.set(path, stats)
  }
  for (const [path, stats] of [...made].reverse()) {
    await lutimes(encodePath(`${target}/${path}`), stats.mtime, stats.mtime)
  }
  return true
}

/** The directory at `path` as the topmost layer that describes it says, or one that implies it; undefined where none is visible. */
async function describedAs(
  path: LayerPath,
  layers: readonly Layer[],
  options: AmendOptions,
): Promise<Stats | undefined> {
  let implied: Stats | undefined
  for (const layer of [...layers].reverse()) {
    const found = await findIn(layer.root, path, options)
    if (found.kind === 'hidden') break
    if (found.kind === 'absent') continue
    if (!layer.implied.has(path)) return found.stats
    implied ??= found.stats
    if (found.isOpaque) break
  }
  return implied
}

/** Looks component by component, so that no symlink of a layer is followed. */
async function findIn(root: string, path: LayerPath, options: AmendOptions): Promise<Found> {
  let at: LayerPath = ''
  let isBelowOpaque = false
  let stats: Stats | undefined
  for (const name of path.split('/')) {
    at = joinPath(at, name)
    stats = await lstatIfThere(`${root}/${at}`)
    if (stats === undefined) return { kind: isBelowOpaque ? 'hidden' : 'absent' }
    if (!stats.isDirectory()) return { kind: 'hidden' }
    isBelowOpaque ||= isOpaqueOnHost(`${root}/${at}`, options)
  }
  return stats === undefined ? { kind: 'absent' } : { kind: 'dir', stats, isOpaque: isBelowOpaque }
}

async function lstatIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(encodePath(path))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}
