import { SnapshotError } from '../errors.ts'
import type { ScannedEntry } from '../native/kernel-types.ts'
import type { DiffEntry } from '../snapshotter.ts'
import type { EntryMetadata, LayerPath } from './entry.ts'
import { isReservedName } from './whiteout.ts'
import { layerXattrs } from './xattrs.ts'

/**
 * Turns what a scan found into layer entries, in the scan's order: the first name of a file that comes by is the file, the
 * others are hardlinks to it (features row O21: links within one layer, by device and inode). Sockets have no entry (O27).
 */
export class EntryMaker {
  readonly #firstNames = new Map<string, LayerPath>()

  /** undefined for what no layer holds. Errors: `diff-name-reserved`. */
  make(scanned: ScannedEntry): DiffEntry | undefined {
    if (isReservedName(scanned.path)) {
      throw new SnapshotError(
        'diff-name-reserved',
        `could not make a layer: ${JSON.stringify(scanned.path)} has a name that layers use for removed files (.wh.)`,
        { path: scanned.path },
      )
    }
    const { path } = scanned
    if (scanned.type === 'file' && scanned.nlink < 2 && scanned.xattrs === undefined) {
      // Nearly every entry: in one piece.
      const { mode, uid, gid, mtimeSec, sizeBytes } = scanned
      return { type: 'file', path, mode, uid, gid, mtimeSec, sizeBytes }
    }
    const metadata = metadataOf(scanned)
    const target = this.#linkTarget(scanned)
    if (target !== undefined) return { type: 'hardlink', path, ...metadata, target }
    switch (scanned.type) {
      case 'dir':
      case 'fifo':
        return { type: scanned.type, path, ...metadata }
      case 'file':
        return { type: 'file', path, ...metadata, sizeBytes: scanned.sizeBytes }
      case 'symlink':
        return { type: 'symlink', path, ...metadata, target: scanned.target ?? '' }
      case 'char':
      case 'block':
        return {
          type: scanned.type,
          path,
          ...metadata,
          major: scanned.major ?? 0,
          minor: scanned.minor ?? 0,
        }
      case 'socket':
        return undefined
    }
  }

  #linkTarget(scanned: ScannedEntry): LayerPath | undefined {
    if (scanned.nlink < 2 || scanned.type === 'dir' || scanned.type === 'socket') return undefined
    const inode = `${scanned.dev}:${scanned.ino}`
    const first = this.#firstNames.get(inode)
    if (first === undefined) this.#firstNames.set(inode, scanned.path)
    return first
  }
}

function metadataOf(scanned: ScannedEntry): EntryMetadata {
  const { mode, uid, gid, mtimeSec } = scanned
  const xattrs = layerXattrs(scanned.xattrs)
  // A symlink's permissions mean nothing and differ between filesystems.
  const base = { mode: scanned.type === 'symlink' ? 0o777 : mode, uid, gid, mtimeSec }
  return xattrs === undefined ? base : { ...base, xattrs }
}
