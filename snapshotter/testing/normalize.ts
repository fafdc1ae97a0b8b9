import type { LayerPath } from '../layer/entry.ts'
import { comparePaths, parentOf } from '../layer/order.ts'
import type { DiffEntry } from '../snapshotter.ts'

/**
 * The entries of a tar as a table of contents: sorted, one per path. A later entry of a path replaces an earlier one
 * together with what was below it, unless both are directories (features row O20); whiteouts and opaque marks concern lower
 * layers only, wherever they stand in the tar (O18), so they are kept beside entries of the same path. In its plainest form:
 * what the addon makes (`ReadLayerOptions.entries`, src/layer-table.h) is compared with it.
 */
export function normalizeEntries<E extends DiffEntry>(entries: readonly E[]): E[] {
  const marks = new Map<string, E>()
  const byPath = new Map<LayerPath, E>()
  const replacedDirs = new Map<LayerPath, number>()
  const order = new Map<LayerPath, number>()
  entries.forEach((entry, index) => {
    if (entry.type === 'whiteout' || entry.type === 'opaque') {
      marks.set(`${entry.type}:${entry.path}`, entry)
      return
    }
    const earlier = byPath.get(entry.path)
    if (earlier?.type === 'dir' && entry.type !== 'dir') replacedDirs.set(entry.path, index)
    byPath.set(entry.path, entry)
    order.set(entry.path, index)
  })
  const kept = [...byPath.values()].filter(
    (entry) => !isBelowReplaced(entry.path, order.get(entry.path) ?? 0, replacedDirs),
  )
  // A whiteout first: it makes room for what follows (O17).
  return [...marks.values(), ...kept].sort(compare)
}

function compare(a: DiffEntry, b: DiffEntry): number {
  return comparePaths(a.path, b.path) || rankOf(a) - rankOf(b)
}

function isBelowReplaced(
  path: LayerPath,
  at: number,
  replaced: ReadonlyMap<LayerPath, number>,
): boolean {
  if (replaced.size === 0) return false
  for (let parent = parentOf(path); parent !== ''; parent = parentOf(parent)) {
    if (at < (replaced.get(parent) ?? -1)) return true
  }
  return false
}

/** Order at one path: what hides, the directory's mark, then the entry. */
function rankOf(entry: DiffEntry): number {
  if (entry.type === 'whiteout') return 0
  return entry.type === 'opaque' ? 2 : 1
}
