import type { ScannedEntry } from '../native/kernel-types.ts'
import type { DiffEntry } from '../snapshotter.ts'
import type { LayerPath } from './entry.ts'
import { comparePaths, parentOf } from './order.ts'
import { EntryMaker } from './scanned.ts'
import { equalXattrs } from './xattrs.ts'

export interface CompareOptions {
  /**
   * Both scans are of one directory at two times: inode and change time tell every change, also of bytes under an
   * equal mtime. Otherwise two copies are compared by what a copy keeps.
   */
  readonly isSameDirectory: boolean
}

/**
 * What leads from `before` to `after` (two scans with xattrs, sorted): changed and new entries with the directories above
 * them, and whiteouts, sorted (features rows K36, O16, O20). Errors: `diff-name-reserved`.
 */
export function compareTrees(
  before: readonly ScannedEntry[],
  after: readonly ScannedEntry[],
  options: CompareOptions,
): DiffEntry[] {
  const old = byPath(before)
  const now = byPath(after)
  const included = new Set<LayerPath>()
  const include = (path: LayerPath): void => {
    for (let at = path; at !== '' && !included.has(at); at = parentOf(at)) included.add(at)
  }
  for (const entry of after) {
    if (entry.type === 'socket') continue
    const earlier = old.get(entry.path)
    if (earlier === undefined || isChanged(earlier, entry, options)) include(entry.path)
  }
  const removed: DiffEntry[] = []
  for (const { path, type } of before) {
    if (type === 'socket' || isThere(now.get(path)) || !isDirectory(now, parentOf(path))) continue
    include(parentOf(path))
    removed.push({ type: 'whiteout', path })
  }
  const maker = new EntryMaker()
  const present = after.filter(({ path }) => included.has(path)).map((entry) => maker.make(entry))
  return [...removed, ...present.filter((entry) => entry !== undefined)].sort((a, b) =>
    comparePaths(a.path, b.path),
  )
}

function byPath(entries: readonly ScannedEntry[]): Map<LayerPath, ScannedEntry> {
  return new Map(entries.map((entry) => [entry.path, entry]))
}

/** A socket has no entry in a layer, so in its place what was there before is gone. */
function isThere(entry: ScannedEntry | undefined): boolean {
  return entry !== undefined && entry.type !== 'socket'
}

/** What was in a directory that is none any more went with it. */
function isDirectory(entries: ReadonlyMap<LayerPath, ScannedEntry>, path: LayerPath): boolean {
  return path === '' || entries.get(path)?.type === 'dir'
}

function isChanged(a: ScannedEntry, b: ScannedEntry, { isSameDirectory }: CompareOptions): boolean {
  if (a.type !== b.type || a.uid !== b.uid || a.gid !== b.gid) return true
  if (a.mode !== b.mode && a.type !== 'symlink') return true
  if (!equalXattrs(a.xattrs, b.xattrs)) return true
  // A directory's times tell of what happened in it, which has entries of its own (BuildKit leaves it out as well).
  if (a.type === 'dir') return false
  if (a.mtimeSec !== b.mtimeSec || a.mtimeNsec !== b.mtimeNsec) return true
  if (a.type === 'file' && a.sizeBytes !== b.sizeBytes) return true
  if (a.target !== b.target || a.major !== b.major || a.minor !== b.minor) return true
  if (!isSameDirectory) return false
  return (
    a.ino !== b.ino || a.dev !== b.dev || a.ctimeSec !== b.ctimeSec || a.ctimeNsec !== b.ctimeNsec
  )
}
