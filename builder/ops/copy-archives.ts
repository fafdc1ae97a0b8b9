import type { CopyNode } from '../../frontend/index.ts'
import type { LayerPath, PackEntry } from '../../snapshotter/index.ts'
import { cleanBelowRoot } from '../context/clean-path.ts'
import { type ArchiveContents, unpackArchive } from './archive.ts'
import type { CopyChanges } from './copy-changes.ts'
import type { LayerDraft } from './copy-draft.ts'
import { makeDirectories, resolveForWriting } from './copy-place.ts'
import type { TreeView } from './copy-source.ts'
import { SortedArchives } from './sorted-archive.ts'

export interface CopyArchivesOptions {
  readonly node: Pick<CopyNode, 'dest'>
  /** The filesystem that is copied to. */
  readonly base: Pick<TreeView, 'lookup'>
}

/**
 * The archives of an ADD, unpacked into its destination one after the other. When nothing else is copied, and they are
 * archives for `SortedArchives`, they go into the layer page by page; else into the draft, in memory.
 */
export class CopyArchives {
  readonly #draft: LayerDraft
  readonly #options: CopyArchivesOptions
  readonly #changes: CopyChanges
  /** Not in the draft. */
  readonly #waiting: ArchiveContents[] = []
  #isAlone = true
  #sorted: SortedArchives | undefined

  constructor(draft: LayerDraft, options: CopyArchivesOptions, changes: CopyChanges) {
    this.#draft = draft
    this.#options = options
    this.#changes = changes
  }

  async add(archive: ArchiveContents): Promise<void> {
    const { dest } = this.#options.node
    // An archive before it may have changed where a link leads.
    if (this.#waiting.length > 0 && (await this.#target()) !== cleanBelowRoot(dest)) {
      await this.settle()
    }
    const made = { ...this.#changes.madeDirectory, mode: 0o755 }
    await makeDirectories(this.#draft, await this.#target(), made)
    if (this.#isAlone) {
      this.#waiting.push(archive)
    } else {
      await this.#unpack(archive)
    }
  }

  /** Something else is copied: what is unpacked from here on, and before, has to be in the draft. */
  async settle(): Promise<void> {
    this.#isAlone = false
    for (const archive of this.#waiting.splice(0)) {
      await this.#unpack(archive)
    }
  }

  /** Nothing else comes. */
  async end(): Promise<void> {
    if (this.#waiting.length > 0 && !(await this.#sort())) {
      await this.settle()
    }
  }

  /** What is not in the draft, after the end. */
  async *pages(): AsyncGenerator<readonly PackEntry[]> {
    if (this.#sorted !== undefined) {
      yield* this.#sorted.pages()
    }
  }

  async #target(): Promise<LayerPath> {
    return await resolveForWriting(this.#draft, this.#options.node.dest)
  }

  async #unpack(archive: ArchiveContents): Promise<void> {
    const { owner, timeSec } = this.#changes
    const target = await this.#target()
    await unpackArchive({ draft: this.#draft, target, archive, owner, timeSec })
  }

  /** False: they cannot go into the layer without the draft. */
  async #sort(): Promise<boolean> {
    const path = await this.#target()
    const directory = await this.#draft.lookup(path)
    const archives = this.#waiting.flatMap(({ sorted, root }) =>
      sorted === undefined ? [] : [{ sorted, root }],
    )
    if (archives.length < this.#waiting.length || directory?.type !== 'dir') {
      return false
    }
    const { owner, timeSec } = this.#changes
    const target = { ...directory, path }
    const { base } = this.#options
    const sorted = new SortedArchives({ base, target, archives, owner, timeSec })
    const count = await sorted.count()
    if (count === undefined) {
      return false
    }
    if (count > 0) {
      await this.#draft.touchDirectory(path)
    }
    this.#sorted = sorted
    return true
  }
}
