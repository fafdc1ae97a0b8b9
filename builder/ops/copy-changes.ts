import { joinPath, type LayerPath, type PackEntry } from '../../snapshotter/index.ts'
import type { DraftLeaf, DraftMetadata } from './copy-draft.ts'
import type { ModeChange } from './copy-mode.ts'
import type { Owner } from './copy-owner.ts'
import type { MadeDirectory } from './copy-place.ts'
import type { SelectedMatch } from './copy-select.ts'
import { placeOf, type SourceTree, type TreeEntry } from './copy-source.ts'

export interface CopyChangeOptions {
  /** From --chown. */
  readonly owner: Owner | undefined
  readonly mode: ModeChange
  /** Of what the copy makes itself. */
  readonly timeSec: number
}

/** What a COPY makes of metadata: the entries of a source as they go into the layer. */
export class CopyChanges {
  readonly owner: CopyChangeOptions['owner']
  readonly timeSec: number
  /** Of directories that have to be there. */
  readonly madeDirectory: MadeDirectory
  readonly #mode: ModeChange

  constructor({ owner, mode, timeSec }: CopyChangeOptions) {
    this.owner = owner
    this.timeSec = timeSec
    this.#mode = mode
    this.madeDirectory = { mode: mode.createdDirectoryMode, owner, mtimeSec: timeSec }
  }

  /** A heredoc: a file of mode 0644 (features row D28). */
  fileOf(content: string): DraftLeaf {
    const bytes = new TextEncoder().encode(content)
    return {
      type: 'file',
      mode: this.#mode.apply(0o644, false),
      uid: this.owner?.uid ?? 0,
      gid: this.owner?.gid ?? 0,
      mtimeSec: this.timeSec,
      sizeBytes: bytes.length,
      source: { kind: 'bytes', bytes },
    }
  }

  /** An entry of a list in `dest`. Called for every file of a copy. */
  place(tree: SourceTree, entry: PackEntry, dest: LayerPath): PackEntry {
    const path = joinPath(dest, entry.path)
    if (entry.type === 'whiteout' || entry.type === 'opaque') {
      throw new TypeError(`could not copy /${path}: a source has no marks`)
    }
    const changed = { ...entry, ...this.metadataOf(entry), path }
    if (changed.type === 'hardlink') {
      return { ...changed, target: joinPath(dest, changed.target) }
    }
    return changed.type === 'file' && changed.source.kind === 'path'
      ? { ...changed, source: tree.source(changed.source) }
      : changed
  }

  /** A source that is no directory. */
  leafOf(tree: SourceTree, { entry, digest }: Pick<SelectedMatch, 'entry' | 'digest'>): DraftLeaf {
    const metadata = this.metadataOf(entry)
    switch (entry.type) {
      case 'file': {
        const source = tree.source(placeOf(entry))
        const expect = digest === undefined ? {} : { expect: digest }
        return { ...metadata, type: 'file', sizeBytes: entry.sizeBytes, source, ...expect }
      }
      case 'symlink':
        return { ...metadata, type: 'symlink', target: entry.target }
      case 'char':
      case 'block':
        return { ...metadata, type: entry.type, major: entry.major, minor: entry.minor }
      case 'fifo':
        return { ...metadata, type: 'fifo' }
      case 'dir':
        throw new TypeError(`could not copy /${entry.path} as a file: it is a directory`)
    }
  }

  /** With --chown and --chmod. */
  metadataOf(entry: Pick<TreeEntry, 'type' | keyof DraftMetadata> | HardlinkEntry): DraftMetadata {
    const { owner } = this
    const { mtimeSec, xattrs } = entry
    const isDirectory = entry.type === 'dir'
    const mode = entry.type === 'symlink' ? 0o777 : this.#mode.apply(entry.mode, isDirectory)
    const uid = owner?.uid ?? entry.uid
    const gid = owner?.gid ?? entry.gid
    return xattrs === undefined
      ? { mode, uid, gid, mtimeSec }
      : { mode, uid, gid, mtimeSec, xattrs }
  }
}

type HardlinkEntry = Extract<PackEntry, { type: 'hardlink' }>
