import {
  comparePaths,
  joinPath,
  type LayerEntry,
  LayerIndex,
  type LayerPath,
  type PackEntry,
  parentOf,
} from '../../snapshotter/index.ts'
import { type ArchiveContents, joinInside, leafOf, metadataOf } from './archive.ts'
import { type DraftMetadata, refuseReservedName } from './copy-draft.ts'
import type { Owner } from './copy-owner.ts'
import type { TreeView } from './copy-source.ts'
import { type Contribution, MergedLists } from './merged-lists.ts'

const SETGID = 0o2000

/** The table of contents of an archive that is what unpacking it makes (`ReadLayerResult.isPlain`). */
export interface SortedEntries {
  readonly count: number
  readonly hasLinks: boolean
  page(index: number): Promise<readonly LayerEntry[]>
}

export interface SortedArchiveOptions {
  /** The filesystem that is written to; nothing else was copied over it. */
  readonly base: Pick<TreeView, 'lookup'>
  /** Directory that the archive is unpacked into, as it will be. */
  readonly target: DraftMetadata & { readonly path: LayerPath }
  /** What is unpacked, one after the other. */
  readonly archives: readonly {
    readonly sorted: SortedEntries
    /** As in ArchiveContents. */
    readonly root: ArchiveContents['root']
  }[]
  /** As in UnpackOptions. */
  readonly owner: Owner | undefined
  readonly timeSec: number
}

/** A directory above the current path. */
interface OpenDirectory {
  readonly path: LayerPath
  /** The filesystem below has nothing in it. */
  readonly isNew: boolean
  /** What is made in it may get its group. */
  readonly isSetgid: boolean
}

/** Entries that are given at a time. */
const PAGE_LENGTH = 512

interface ArchiveItem {
  readonly entry: LayerEntry
}

/**
 * What `unpackArchive` makes of archives, worked out in one pass over their sorted entries with a page of each in memory.
 * Only for archives that are unpacked as they are written: no link on the way to an entry, in the archives or below
 * them, no directory in place of a file or the reverse, and first names of files before their other names.
 */
export class SortedArchives {
  readonly #options: SortedArchiveOptions
  readonly #indexes: readonly LayerIndex[]
  readonly #hasLinks: boolean
  #open: OpenDirectory[] = []
  #placed: PackEntry[] = []
  /** What begins the paths below the last entry that is no directory. */
  #belowLeaf: string | undefined

  constructor(options: SortedArchiveOptions) {
    this.#options = options
    this.#indexes = options.archives.map(({ sorted }) => new LayerIndex(sorted))
    this.#hasLinks = options.archives.some(({ sorted }) => sorted.hasLinks)
  }

  /** How many entries of the layer `pages` gives; undefined when the archives are none of those. */
  async count(): Promise<number | undefined> {
    let count = 0
    for await (const page of this.#pages()) {
      if (page === undefined) {
        return undefined
      }
      count += page.length
    }
    return count
  }

  /** The entries below the target, in the order of the tar. */
  async *pages(): AsyncGenerator<readonly PackEntry[]> {
    for await (const page of this.#pages()) {
      yield page ?? []
    }
  }

  /** Undefined, and the end, at an entry that is not as it has to be. */
  async *#pages(): AsyncGenerator<readonly PackEntry[] | undefined> {
    const { base, target, archives } = this.#options
    const isNew = (await base.lookup(target.path)) === undefined
    this.#open = [{ path: target.path, isNew, isSetgid: isSetgid(target.mode) }]
    this.#belowLeaf = undefined
    const merged = new MergedLists(archives.map(({ sorted }) => itemsOf(sorted)))
    for (;;) {
      const found = merged.peekNow() ?? (await merged.peek())
      const last = found.at(-1)
      if (last === undefined) break
      merged.pass()
      // An archive's own root entry changes nothing (features row O29).
      if (last.entry.path === '') continue
      if (!this.#isReplacedAlike(found) || !(await this.#place(last))) {
        yield undefined
        return
      }
      if (this.#placed.length >= PAGE_LENGTH) yield this.#placed.splice(0)
    }
    yield this.#placed.splice(0)
  }

  /** Whether the last entry of a path means the same without those before it; as for those of one archive (layer-table.cc). */
  #isReplacedAlike(found: readonly ArchiveItem[]): boolean {
    return found.every(({ entry }, index) => {
      const next = found[index + 1]?.entry
      if (next === undefined) return true
      if (entry.type !== 'dir' || next.type !== 'dir') {
        return entry.type !== 'dir' && next.type !== 'dir' && !this.#hasLinks
      }
      return isSetgid(entry.mode) === isSetgid(next.mode) && entry.xattrs === undefined
    })
  }

  /** False: it cannot be placed without looking at the order of the archives. */
  async #place({ entry, list }: Contribution<ArchiveItem>): Promise<boolean> {
    const { target, owner, archives } = this.#options
    const path = joinInside(target.path, entry.path)
    if (entry.type === 'whiteout' || entry.type === 'opaque') {
      return false
    }
    if (this.#belowLeaf !== undefined && path.startsWith(this.#belowLeaf)) {
      return false
    }
    if (!this.#isOpen(parentOf(path)) && !(await this.#imply(parentOf(path)))) {
      return false
    }
    refuseReservedName(path)
    if (entry.type === 'dir') {
      return await this.#enter(path, metadataOf(entry, owner))
    }
    this.#belowLeaf = `${path}/`
    if (entry.type === 'hardlink') {
      return await this.#link(this.#indexes[list], entry.target, path)
    }
    const source = { kind: 'path', root: archives[list]?.root ?? '', path: entry.path } as const
    this.#placed.push({ ...leafOf(entry, metadataOf(entry, owner), source), path })
    return true
  }

  /** Leaves directories until the innermost one is `path` or above it; whether it is `path`. */
  #isOpen(path: LayerPath): boolean {
    for (;;) {
      const last = this.#open.at(-1)?.path ?? ''
      if (last === path) {
        return true
      }
      if (last === '' || path.startsWith(`${last}/`)) {
        return false
      }
      this.#open.pop()
    }
  }

  /** Enters the directories from the innermost one to `path`, which no entry describes. */
  async #imply(path: LayerPath): Promise<boolean> {
    const above = this.#open.at(-1)?.path ?? ''
    const rest = path.slice(above === '' ? 0 : above.length + 1)
    let directory = above
    for (const name of rest.split('/')) {
      directory = joinPath(directory, name)
      refuseReservedName(directory)
      if (!(await this.#enter(directory, undefined))) {
        return false
      }
    }
    return true
  }

  async #enter(path: LayerPath, metadata: DraftMetadata | undefined): Promise<boolean> {
    const { base, timeSec } = this.#options
    const parent = this.#open.at(-1)
    const existing = parent?.isNew === true ? undefined : await base.lookup(path)
    if (existing !== undefined && existing.type !== 'dir') {
      return false
    }
    if (existing === undefined && metadata === undefined && parent?.isSetgid === true) {
      return false
    }
    const implied = { mode: 0o755, uid: 0, gid: 0, mtimeSec: timeSec }
    const entry = { type: 'dir', path, ...(existing ?? implied), ...metadata } as const
    this.#placed.push(entry)
    this.#open.push({
      path,
      isNew: existing === undefined,
      isSetgid: isSetgid(entry.mode) || isSetgid(existing?.mode ?? 0),
    })
    return true
  }

  /** Another name of a file of the archive, which has its metadata. */
  async #link(index: LayerIndex | undefined, target: LayerPath, path: LayerPath): Promise<boolean> {
    const found = await index?.find(target)
    const to = joinInside(this.#options.target.path, target)
    const entry = found?.entry
    if (entry?.type !== 'file' || found?.source !== target || comparePaths(to, path) >= 0) {
      return false
    }
    const { uid, gid } = this.#options.owner ?? entry
    const { mode, mtimeSec } = entry
    this.#placed.push({ type: 'hardlink', path, target: to, mode, uid, gid, mtimeSec })
    return true
  }
}

async function* itemsOf(sorted: SortedEntries): AsyncGenerator<readonly ArchiveItem[]> {
  for (let index = 0; index < sorted.count; index += 1) {
    yield (await sorted.page(index)).map((entry) => ({ entry }))
  }
}

function isSetgid(mode: number): boolean {
  return (mode & SETGID) !== 0
}
