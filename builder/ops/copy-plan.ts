import type { CopyNode } from '../../frontend/index.ts'
import { joinPath, type LayerPath, type PackEntry, parentOf } from '../../snapshotter/index.ts'
import { type ArchiveContents, unpackArchive } from './archive.ts'
import { type DraftLeaf, type DraftMetadata, LayerDraft } from './copy-draft.ts'
import { CopyError } from './copy-errors.ts'
import { parseModeChange, type ModeChange } from './copy-mode.ts'
import { type AccountFileReader, type Owner, resolveOwner } from './copy-owner.ts'
import { type MadeDirectory, makeDirectories, resolveForWriting } from './copy-place.ts'
import type { SelectedItem, SelectedMatch, SelectedSource } from './copy-select.ts'
import type { SourceTree, TreeEntry, TreeView } from './copy-source.ts'

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
 * The layer of a COPY or ADD as entries to pack, in the order of the tar: what BuildKit's copy does to the filesystem
 * (features rows D94-D112, D116, D131-D137), worked out on names alone. `copy-conflict` where a directory is in the way of
 * a file or the reverse, `bad-owner` and `bad-mode` for flags that mean nothing.
 */
export async function planCopy(options: PlanCopyOptions): Promise<PackEntry[]> {
  const draft = new LayerDraft(options.base)
  const { chown, chmod, epochSec } = options.node
  const owner = chown === undefined ? undefined : await resolveOwner(chown, options.readAccounts)
  const copier = new Copier(draft, options, {
    owner,
    mode: parseModeChange(chmod),
    timeSec: epochSec ?? options.nowSec,
  })
  for (const selected of options.selection) {
    await copier.copySource(selected)
  }
  return draft.entries()
}

interface Changes {
  /** From --chown. */
  readonly owner: Owner | undefined
  readonly mode: ModeChange
  readonly timeSec: number
}

class Copier {
  readonly #draft: LayerDraft
  readonly #options: PlanCopyOptions
  readonly #changes: Changes

  constructor(draft: LayerDraft, options: PlanCopyOptions, changes: Changes) {
    this.#draft = draft
    this.#options = options
    this.#changes = changes
  }

  async copySource(selected: SelectedSource): Promise<void> {
    if (selected.type === 'inline') {
      await this.#copyInline(selected.name, selected.content)
      return
    }
    const { source, tree, matches } = selected
    for (const match of matches) {
      const archive =
        source.unpack !== 'never' && match.entry.type === 'file'
          ? await this.#options.openArchive(tree, match)
          : undefined
      if (archive !== undefined) {
        await this.#unpack(archive)
      } else if (match.entry.type === 'dir') {
        await this.#copyDirectory(tree, match, source.isRemote)
      } else {
        const target = await this.#prepareFileTarget(match.name)
        await this.#copyLeaf(target, this.#leafOf(tree, match))
      }
    }
  }

  /** Heredocs are files of mode 0644 (features row D28). */
  async #copyInline(name: string, content: string): Promise<void> {
    const bytes = new TextEncoder().encode(content)
    const { owner, mode, timeSec } = this.#changes
    const target = await this.#prepareFileTarget(name)
    await this.#copyLeaf(target, {
      type: 'file',
      mode: mode.apply(0o644, false),
      uid: owner?.uid ?? 0,
      gid: owner?.gid ?? 0,
      mtimeSec: timeSec,
      sizeBytes: bytes.length,
      source: { kind: 'bytes', bytes },
    })
  }

  async #unpack(archive: ArchiveContents): Promise<void> {
    const { node } = this.#options
    const target = await resolveForWriting(this.#draft, node.dest)
    await makeDirectories(this.#draft, target, { ...this.#madeDirectory(), mode: 0o755 })
    await unpackArchive({
      draft: this.#draft,
      target,
      archive,
      owner: this.#changes.owner,
      timeSec: this.#changes.timeSec,
    })
  }

  /** Makes what has to exist above the destination, whatever is copied (features row D96). */
  async #prepareDest(): Promise<LayerPath> {
    const { dest, destIsDirectory } = this.#options.node
    const above = destIsDirectory ? dest : dest.slice(0, dest.lastIndexOf('/') + 1)
    const parent = await resolveForWriting(this.#draft, above)
    await makeDirectories(this.#draft, parent, this.#madeDirectory())
    return resolveForWriting(this.#draft, dest)
  }

  /** Where a file goes: into the destination when that is a directory, else in its place (features rows D97, D136). */
  async #prepareFileTarget(name: string): Promise<LayerPath> {
    const dest = await this.#prepareDest()
    const isDirectory = (await this.#draft.lookup(dest))?.type === 'dir'
    const target = isDirectory ? joinPath(dest, name) : dest
    await makeDirectories(this.#draft, parentOf(target), this.#madeDirectory())
    return target
  }

  async #copyLeaf(target: LayerPath, leaf: DraftLeaf): Promise<void> {
    if ((await this.#draft.lookup(target))?.type === 'dir') {
      throw new CopyError('copy-conflict', `cannot replace to directory /${target} with file`)
    }
    await this.#draft.put(target, leaf)
  }

  /**
   * The contents of a directory. The destination itself keeps or gets metadata of its own, never the source's
   * (features row D98), except for a remote tree at a path that does not exist, which is copied as a whole.
   */
  async #copyDirectory(tree: SourceTree, match: SelectedMatch, isWhole: boolean): Promise<void> {
    const dest = await this.#prepareDest()
    const existing = await this.#draft.lookup(dest)
    if (existing === undefined) {
      await makeDirectories(this.#draft, parentOf(dest), this.#madeDirectory())
      if (isWhole) {
        const metadata = this.#metadataOf(match.entry)
        await this.#draft.makeDirectory(dest, { ...metadata, mtimeSec: this.#changes.timeSec })
      } else {
        await makeDirectories(this.#draft, dest, this.#madeDirectory())
      }
    } else if (existing.type !== 'dir') {
      throw nonDirectory(dest)
    } else {
      await this.#draft.touchDirectory(dest)
    }
    const links = new Map<string, DraftLeaf>()
    for (const item of match.items) {
      const target = joinPath(dest, item.relative)
      if (item.entry.type === 'dir') {
        await this.#mergeDirectory(target, item)
      } else {
        await this.#copyLeaf(target, this.#linkedLeaf(tree, item, links))
      }
    }
  }

  /** A directory below the destination: existing ones get the source's metadata, implied ones its mode only (D98, D109). */
  async #mergeDirectory(target: LayerPath, item: SelectedItem): Promise<void> {
    const existing = await this.#draft.lookup(target)
    if (existing === undefined) {
      await this.#draft.makeDirectory(target, this.#metadataOf(item.entry))
    } else if (existing.type !== 'dir') {
      throw nonDirectory(target)
    } else {
      const metadata = item.isImplied ? { mode: item.entry.mode } : this.#metadataOf(item.entry)
      await this.#draft.touchDirectory(target, metadata)
    }
  }

  /** Names of one file stay names of one file (features row D103). */
  #linkedLeaf(tree: SourceTree, item: SelectedItem, links: Map<string, DraftLeaf>): DraftLeaf {
    const group = item.entry.type === 'file' ? item.entry.linkGroup : undefined
    const known = group === undefined ? undefined : links.get(group)
    if (known !== undefined) {
      return known
    }
    const leaf = this.#leafOf(tree, item)
    if (group !== undefined) {
      links.set(group, leaf)
    }
    return leaf
  }

  /** Called for every file of a copy: those are made in one piece. */
  #leafOf(tree: SourceTree, { entry, digest }: Pick<SelectedItem, 'entry' | 'digest'>): DraftLeaf {
    const metadata = this.#metadataOf(entry)
    switch (entry.type) {
      case 'file': {
        const { mode, uid, gid, mtimeSec, xattrs } = metadata
        const { sizeBytes } = entry
        const source = tree.source(entry.path)
        if (digest !== undefined && xattrs === undefined) {
          return { type: 'file', mode, uid, gid, mtimeSec, sizeBytes, source, expect: digest }
        }
        return {
          ...metadata,
          type: 'file',
          sizeBytes,
          source,
          ...(digest === undefined ? {} : { expect: digest }),
        }
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

  #metadataOf(entry: TreeEntry): DraftMetadata {
    const { owner } = this.#changes
    const { mtimeSec, xattrs } = entry
    const isDirectory = entry.type === 'dir'
    const mode =
      entry.type === 'symlink' ? 0o777 : this.#changes.mode.apply(entry.mode, isDirectory)
    const uid = owner?.uid ?? entry.uid
    const gid = owner?.gid ?? entry.gid
    return xattrs === undefined
      ? { mode, uid, gid, mtimeSec }
      : { mode, uid, gid, mtimeSec, xattrs }
  }

  #madeDirectory(): MadeDirectory {
    const { owner, mode, timeSec } = this.#changes
    return { mode: mode.createdDirectoryMode, owner, mtimeSec: timeSec }
  }
}

function nonDirectory(path: LayerPath): CopyError {
  return new CopyError('copy-conflict', `cannot copy to non-directory: /${path}`)
}
