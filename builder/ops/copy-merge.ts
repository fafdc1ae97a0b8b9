import { comparePaths, type LayerPath, type PackEntry } from '../../snapshotter/index.ts'
import { type DraftItem, refuseReservedName } from './copy-draft.ts'
import { CopyError } from './copy-errors.ts'
import type { TreeEntry, TreeView } from './copy-source.ts'
import { type Contribution, type ItemPages, MergedLists } from './merged-lists.ts'
import { OverwrittenLinks } from './overwritten-links.ts'
import type { SelectedItem } from './selection-file.ts'

/** Entries that are given at a time. */
const PAGE_LENGTH = 512

/** Stands for the draft where the number of a list is wanted. */
const DRAFT = -1

/**
 * The layer of a COPY: what its draft has, and lists copied over it one after the other, as entries in the order of the
 * tar. All are sorted by path, so it is done in one pass that holds a page of each list. Errors: `copy-conflict`,
 * `reserved-name`.
 */
export async function* mergeLists(
  draft: readonly DraftItem[],
  lists: readonly ItemPages[],
  base: Pick<TreeView, 'lookup'>,
): AsyncGenerator<readonly PackEntry[]> {
  const merge = new Merge()
  const merged = new MergedLists(lists)
  let at = 0
  for (;;) {
    // Waiting for each of 50,000 entries would take longer than all the rest.
    const next = merged.peekNow() ?? (await merged.peek())
    const item = draft[at]
    const path = leastPath(item?.entry.path, next[0]?.entry.path)
    if (path === undefined) {
      break
    }
    const isInDraft = item?.entry.path === path
    const contributions = next[0]?.entry.path === path ? next : []
    if (isInDraft) {
      at += 1
      merge.add(path, item, contributions)
    } else {
      const below = merge.isInNew(path) ? undefined : await base.lookup(path)
      merge.add(path, below && { entry: below, isNew: false }, contributions)
    }
    if (contributions.length > 0) {
      merged.pass()
    }
    if (merge.entries.length >= PAGE_LENGTH) {
      yield merge.entries.splice(0)
    }
  }
  yield merge.entries
}

function leastPath(a: LayerPath | undefined, b: LayerPath | undefined): LayerPath | undefined {
  if (a === undefined || b === undefined) {
    return a ?? b
  }
  return comparePaths(a, b) <= 0 ? a : b
}

/** What is at a path before the lists: of the filesystem below, or of the draft. */
type Existing = { readonly entry: TreeEntry; readonly isNew: false } | DraftItem

class Merge {
  readonly entries: PackEntry[] = []
  /** Directories above the last entry. */
  readonly #open: { readonly prefix: string; readonly isNew: boolean }[] = []
  readonly #links = new OverwrittenLinks()

  /** Whether `path` lies in a directory that the layer makes, so that nothing is below. Paths come in their order. */
  isInNew(path: LayerPath): boolean {
    while (this.#open.length > 0 && !path.startsWith(this.#open.at(-1)?.prefix ?? '')) {
      this.#open.pop()
    }
    return this.#open.at(-1)?.isNew ?? false
  }

  add(
    path: LayerPath,
    existing: Existing | undefined,
    contributions: readonly Contribution[],
  ): void {
    let current: PackEntry | TreeEntry | undefined = existing?.entry
    let leaf: Contribution | undefined =
      existing !== undefined && 'hidesBelow' in existing
        ? { entry: existing.entry, isImplied: false, list: DRAFT }
        : undefined
    for (const contribution of contributions) {
      refuseReservedName(path)
      current = copyOver(current, contribution)
      if (leaf !== undefined) {
        this.#links.overwrite(leaf)
      }
      leaf = contribution
    }
    if (current?.type === 'dir') {
      this.#addDirectory(path, current, existing)
    } else if (leaf !== undefined) {
      this.entries.push(this.#links.follow(leaf))
    }
  }

  #addDirectory(
    path: LayerPath,
    entry: Extract<PackEntry | TreeEntry, { type: 'dir' }>,
    existing: Existing | undefined,
  ): void {
    const isNew = existing?.isNew ?? true
    if (this.isInNew(path) !== isNew || !isNew) {
      this.#open.push({ prefix: `${path}/`, isNew })
    }
    this.entries.push(entry)
    if (existing !== undefined && 'hidesBelow' in existing && existing.hidesBelow) {
      this.entries.push({ type: 'opaque', path })
    }
  }
}

/**
 * What is at a path after one list more. A directory that exists is changed, an implied one gets the mode only, that of the
 * source whatever --chmod says (D98, D109).
 */
export function copyOver(
  current: PackEntry | TreeEntry | undefined,
  { entry, isImplied, ownMode }: SelectedItem,
): PackEntry | TreeEntry {
  if (entry.type !== 'dir') {
    if (current?.type === 'dir') {
      throw new CopyError('copy-conflict', `cannot replace to directory /${entry.path} with file`)
    }
    return entry
  }
  if (current === undefined) {
    return entry
  }
  if (current.type !== 'dir') {
    throw nonDirectory(entry.path)
  }
  return isImplied ? { ...current, mode: ownMode ?? entry.mode } : { ...current, ...entry }
}

export function nonDirectory(path: LayerPath): CopyError {
  return new CopyError('copy-conflict', `cannot copy to non-directory: /${path}`)
}
