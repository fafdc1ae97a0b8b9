import type { CopyNode } from '../../frontend/index.ts'
import {
  comparePaths,
  joinPath,
  type LayerPath,
  type PackEntry,
  parentOf,
} from '../../snapshotter/index.ts'
import type { ArchiveContents } from './archive.ts'
import { CopyArchives } from './copy-archives.ts'
import { type DraftLeaf, LayerDraft, leafOf } from './copy-draft.ts'
import { copyOver, mergeLists, nonDirectory } from './copy-merge.ts'
import { CopyChanges } from './copy-changes.ts'
import { parseModeChange } from './copy-mode.ts'
import { type AccountFileReader, resolveOwner } from './copy-owner.ts'
import { makeDirectories, resolveForWriting } from './copy-place.ts'
import type { SelectedMatch, SelectedSource } from './copy-select.ts'
import type { SourceTree, TreeView } from './copy-source.ts'
import type { ItemPages } from './merged-lists.ts'
import type { SelectedItem } from './selection-file.ts'

export interface PlanCopyOptions {
  readonly node: Pick<CopyNode, 'dest' | 'destIsDirectory' | 'chown' | 'chmod' | 'epochSec'>
  readonly selection: readonly SelectedSource[]
  /** The filesystem that is copied to; `EMPTY_VIEW` for --link and scratch. */
  readonly base: Pick<TreeView, 'lookup'>
  /** Reads passwd and group of that filesystem; undefined for --link, where names cannot be looked up (D108). */
  readonly readAccounts: AccountFileReader | undefined
  /** What is in a selected file if it is an archive; called for files of ADD only. */
  readonly openArchive: (
    tree: SourceTree,
    match: SelectedMatch,
  ) => Promise<ArchiveContents | undefined>
  /** Time of directories and inline files that the copy makes, when SOURCE_DATE_EPOCH does not say. */
  readonly nowSec: number
}

/**
 * The layer of a COPY or ADD as entries to pack, in the order of the tar, a page at a time: what BuildKit's copy does to the
 * filesystem (features rows D94-D112, D116, D131-D137), worked out on names alone. `copy-conflict` where a directory is in
 * the way of a file or the reverse, `bad-owner` and `bad-mode` for flags that mean nothing.
 */
export async function* planCopy(options: PlanCopyOptions): AsyncGenerator<readonly PackEntry[]> {
  const draft = new LayerDraft(options.base)
  const { chown, chmod, epochSec } = options.node
  const owner = chown === undefined ? undefined : await resolveOwner(chown, options.readAccounts)
  const timeSec = epochSec ?? options.nowSec
  const changes = new CopyChanges({ owner, mode: parseModeChange(chmod), timeSec })
  const copier = new Copier(draft, options, changes)
  for (const selected of options.selection) {
    await copier.copySource(selected)
  }
  await copier.endArchives()
  yield* mergeLists(draft.items(), copier.lists(), options.base)
  yield* copier.unpacked()
}

class Copier {
  readonly #draft: LayerDraft
  readonly #options: PlanCopyOptions
  readonly #changes: CopyChanges
  /** What is copied into the destination and not in the draft: one list after the other. */
  readonly #lists: ItemPages[] = []
  /** The last of them while single files come; by path. */
  readonly #files = new Map<LayerPath, SelectedItem>()
  readonly #archives: CopyArchives

  constructor(draft: LayerDraft, options: PlanCopyOptions, changes: CopyChanges) {
    this.#draft = draft
    this.#options = options
    this.#changes = changes
    this.#archives = new CopyArchives(draft, options, changes)
  }

  lists(): readonly ItemPages[] {
    this.#endFiles()
    return this.#lists
  }

  async endArchives(): Promise<void> {
    await this.#archives.end()
  }

  /** What is in archives that `draft` and `lists` do not have: all of it is below what they have. */
  async *unpacked(): AsyncGenerator<readonly PackEntry[]> {
    yield* this.#archives.pages()
  }

  async copySource(selected: SelectedSource): Promise<void> {
    if (selected.type === 'inline') {
      await this.#archives.settle()
      await this.#copyLeaf(selected.name, this.#changes.fileOf(selected.content))
      return
    }
    const { source, tree, matches } = selected
    for (const match of matches) {
      const archive =
        source.unpack !== 'never' && match.entry.type === 'file'
          ? await this.#options.openArchive(tree, match)
          : undefined
      if (archive !== undefined) {
        await this.#settle()
        await this.#archives.add(archive)
        continue
      }
      await this.#archives.settle()
      if (match.entry.type === 'dir') {
        await this.#copyDirectory(tree, match, source.isRemote)
      } else {
        await this.#copyLeaf(match.name, this.#changes.leafOf(tree, match))
      }
    }
  }

  /** Makes what has to exist above the destination, whatever is copied (features row D96). */
  async #prepareDest(): Promise<LayerPath> {
    const { dest, destIsDirectory } = this.#options.node
    const above = destIsDirectory ? dest : dest.slice(0, dest.lastIndexOf('/') + 1)
    const parent = await resolveForWriting(this.#draft, above)
    await makeDirectories(this.#draft, parent, this.#changes.madeDirectory)
    return resolveForWriting(this.#draft, dest)
  }

  /** A file goes into the destination when that is a directory, else in its place (features rows D97, D136). */
  async #copyLeaf(name: string, leaf: DraftLeaf): Promise<void> {
    const dest = await this.#prepareDest()
    const isDirectory = (await this.#draft.lookup(dest))?.type === 'dir'
    const path = isDirectory ? joinPath(dest, name) : dest
    await makeDirectories(this.#draft, parentOf(path), this.#changes.madeDirectory)
    if (isDirectory) {
      await this.#draft.touchDirectory(dest)
      this.#files.set(path, { entry: { ...leaf, path }, isImplied: false })
    } else {
      await this.#draft.put(path, leaf)
    }
  }

  #endFiles(): void {
    if (this.#files.size > 0) {
      const files = [...this.#files.values()]
      this.#files.clear()
      this.#lists.push(onePage(files.sort((a, b) => comparePaths(a.entry.path, b.entry.path))))
    }
  }

  /**
   * The contents of a directory. The destination itself keeps or gets mode and owner of its own, never the source's
   * (features row D98), except for a remote tree at a path that does not exist, which is copied as a whole. Its time is
   * that of the source, as in BuildKit, so that a layer of the same files is the same layer tomorrow; only the root of a
   * tree has no time that means anything.
   */
  async #copyDirectory(tree: SourceTree, match: SelectedMatch, isWhole: boolean): Promise<void> {
    const dest = await this.#prepareDest()
    const existing = await this.#draft.lookup(dest)
    const time = match.entry.path === '' ? {} : { mtimeSec: match.entry.mtimeSec }
    if (existing === undefined) {
      const made = this.#changes.madeDirectory
      await makeDirectories(this.#draft, parentOf(dest), made)
      if (isWhole) {
        const metadata = this.#changes.metadataOf(match.entry)
        await this.#draft.makeDirectory(dest, { ...metadata, mtimeSec: made.mtimeSec })
      } else {
        await makeDirectories(this.#draft, dest, { ...made, ...time })
      }
    } else if (existing.type !== 'dir') {
      throw nonDirectory(dest)
    } else {
      await this.#draft.touchDirectory(dest, time)
    }
    this.#endFiles()
    this.#lists.push(this.#placed(tree, match, dest))
  }

  async *#placed(
    tree: SourceTree,
    { items }: SelectedMatch,
    dest: LayerPath,
  ): AsyncGenerator<readonly SelectedItem[]> {
    for await (const page of items.pages()) {
      yield page.map(({ entry, isImplied }) => {
        const item = { entry: this.#changes.place(tree, entry, dest), isImplied }
        return isImplied && entry.type === 'dir' ? { ...item, ownMode: entry.mode } : item
      })
    }
  }

  /** Puts the lists into the draft: an archive sees what was copied before it. */
  async #settle(): Promise<void> {
    for (const pages of this.lists()) {
      for await (const page of pages) {
        for (const item of page) {
          await this.#put(item)
        }
      }
    }
    this.#lists.length = 0
  }

  async #put(item: SelectedItem): Promise<void> {
    const { entry } = item
    const { path } = entry
    const existing = await this.#draft.lookup(path)
    const next = copyOver(existing, item)
    if (next.type !== 'dir') {
      const leaf = entry.type === 'hardlink' ? this.#draft.leafAt(entry.target) : leafOf(entry)
      await this.#draft.put(path, leaf ?? leafOf(entry))
      return
    }
    const { mode, uid, gid, mtimeSec, xattrs } = next
    const metadata = { mode, uid, gid, mtimeSec, ...(xattrs === undefined ? {} : { xattrs }) }
    if (existing === undefined) {
      await this.#draft.makeDirectory(path, metadata)
    } else {
      await this.#draft.touchDirectory(path, metadata)
    }
  }
}

async function* onePage<T>(items: readonly T[]): AsyncGenerator<readonly T[]> {
  yield items
}
