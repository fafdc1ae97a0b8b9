import { SnapshotError } from '../errors.ts'
import type { PackEntry, ScannedEntry } from '../native/kernel-types.ts'
import type { DiffEntry } from '../snapshotter.ts'
import { EntryMaker } from './scanned.ts'
import { isMarkedOpaque, isWhiteoutDevice } from './whiteout.ts'

/**
 * The entries of a directory in overlay form (an upper directory, or an unpacked layer), from its scan with xattrs: whiteout
 * devices become whiteouts and opaque marks opaque entries. `redirect_dir` and `metacopy` being off, everything that
 * is there is the diff, parents of changed files included (features rows O15-O31).
 * Errors: `diff-name-reserved`, `diff-not-plain`.
 */
export function overlayDiff(scanned: readonly ScannedEntry[]): DiffEntry[] {
  return new OverlayDiff().entries(scanned)
}

/** As `overlayDiff`, of a scan that comes in parts. */
export class OverlayDiff {
  readonly #maker = new EntryMaker()

  entries(scanned: readonly ScannedEntry[]): DiffEntry[] {
    const entries: DiffEntry[] = []
    for (const item of scanned) {
      if (isWhiteoutDevice(item)) {
        entries.push({ type: 'whiteout', path: item.path })
        continue
      }
      refuseRedirect(item)
      const entry = this.#maker.make(item)
      if (entry === undefined) continue
      entries.push(entry)
      if (item.type === 'dir' && isMarkedOpaque(item))
        entries.push({ type: 'opaque', path: item.path })
    }
    return entries
  }
}

/** A change of the directory `root` as an entry to pack. */
export function toPackEntry(entry: DiffEntry, root: string): PackEntry {
  if (entry.type !== 'file') return entry
  const { path, mode, uid, gid, mtimeSec, sizeBytes, xattrs } = entry
  const source = { kind: 'path', root, path } as const
  const plain = { type: 'file', path, mode, uid, gid, mtimeSec, sizeBytes, source } as const
  return xattrs === undefined ? plain : { ...plain, xattrs }
}

function refuseRedirect(item: ScannedEntry): void {
  const mark = item.xattrs?.find(({ name }) =>
    /^(trusted|user)\.overlay\.(redirect|metacopy)$/.test(name),
  )
  if (mark === undefined) return
  throw new SnapshotError(
    'diff-not-plain',
    `could not make a layer: ${JSON.stringify(item.path)} carries ${mark.name}; overlay mounts must have redirect_dir and metacopy off`,
    { path: item.path },
  )
}
