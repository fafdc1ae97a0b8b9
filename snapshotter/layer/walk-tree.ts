import type { Kernel, ListOptions, ScannedEntry } from '../native/kernel-types.ts'
import type { LayerPath } from './entry.ts'

/** Directories that are listed in one call, and about how many children they may have together. */
const DIRECTORIES_PER_CALL = 512
const ENTRIES_PER_CALL = 8192
/** Entries that are given at a time. */
const PAGE_LENGTH = 4096
const NUL = 0

export interface TreeWalkOptions<S> extends ListOptions {
  readonly kernel: Pick<Kernel, 'listDirectories' | 'listChildren'>
  /** Where the walk begins; it is not given itself. */
  readonly path: LayerPath
  /** Of what is right below `path`; whatever the callbacks want to know of a directory. */
  readonly scope: S
  /** Whether what is no directory is given. */
  readonly keeps: (entry: ScannedEntry, scope: S) => boolean
  /** Whether a directory is given, and the scope of what is in it; without one it is not entered. Each is asked for once, somewhat ahead. */
  readonly enter: (
    entry: ScannedEntry,
    scope: S,
  ) => { readonly isKept: boolean; readonly scope: S | undefined }
}

/**
 * What is below a path of a tree on this host, parents first and sorted by components (`comparePaths`), in pages. What is
 * in memory does not grow with the tree: directories are listed a few hundred at a time, ahead of where the walk is,
 * and one with very many children in parts. What vanishes meanwhile is left out. Errors: those of `listDirectories`.
 */
export async function* walkTree<S>(options: TreeWalkOptions<S>): AsyncGenerator<ScannedEntry[]> {
  const walk = new TreeWalk(options)
  for (;;) {
    const page = await walk.next()
    if (page.length === 0) return
    yield page
  }
}

/** As `walkTree`, all of a tree with extended attributes. One call is enough for what is no longer than a page. */
export async function* walkWholeTree(
  root: string,
  kernel: TreeWalkOptions<null>['kernel'] & Pick<Kernel, 'scanSmallTree'>,
  signal: AbortSignal,
): AsyncGenerator<ScannedEntry[]> {
  const options = { root, withXattrs: true, signal }
  const all = await kernel.scanSmallTree({ ...options, entriesMax: PAGE_LENGTH })
  if (all !== undefined) {
    yield all
    return
  }
  const enter = (): { isKept: boolean; scope: null } => ({ isKept: true, scope: null })
  yield* walkTree({ ...options, kernel, path: '', scope: null, keeps: () => true, enter })
}

interface Directory<S> {
  readonly path: LayerPath
  readonly scope: S
  /** Listed and not given yet, from `at` on. */
  entries: readonly ScannedEntry[]
  at: number
  /** Names of children that were not looked at. */
  rest: Uint8Array | undefined
  /** Those of `entries` that are entered, from `belowAt` on. */
  below: readonly Directory<S>[]
  belowAt: number
  isListed: boolean
}

class TreeWalk<S> {
  readonly #options: TreeWalkOptions<S>
  /** From the root of the walk down to where it is. */
  readonly #open: Directory<S>[]
  /** Not listed yet, the next one last. */
  readonly #pending: Directory<S>[]

  constructor(options: TreeWalkOptions<S>) {
    this.#options = options
    const root = newDirectory(options.path, options.scope)
    this.#open = [root]
    this.#pending = [root]
  }

  /** Empty at the end. */
  async next(): Promise<ScannedEntry[]> {
    const page: ScannedEntry[] = []
    while (page.length < PAGE_LENGTH) {
      const directory = this.#open.at(-1)
      if (directory === undefined) break
      if (!directory.isListed) {
        await this.#listAhead()
      } else if (directory.at < directory.entries.length) {
        this.#give(directory, page)
      } else if (directory.rest === undefined) {
        this.#open.pop()
        // The directory above still has it in its list.
        forget(directory)
      } else {
        await this.#listRest(directory, directory.rest)
      }
    }
    return page
  }

  /** Up to and with the next directory that is entered. */
  #give(directory: Directory<S>, page: ScannedEntry[]): void {
    const next = directory.below[directory.belowAt]
    while (directory.at < directory.entries.length && page.length < PAGE_LENGTH) {
      const entry = directory.entries[directory.at]
      directory.at += 1
      if (entry === undefined) continue
      page.push(entry)
      if (next !== undefined && entry.path === next.path) {
        directory.belowAt += 1
        this.#open.push(next)
        return
      }
    }
  }

  async #listAhead(): Promise<void> {
    const { kernel, root, withXattrs, signal } = this.#options
    const next = this.#pending.splice(-DIRECTORIES_PER_CALL).reverse()
    const listings = await kernel.listDirectories(
      next.map(({ path }) => path),
      { root, withXattrs, signal, entriesMax: ENTRIES_PER_CALL },
    )
    const below: Directory<S>[] = []
    for (const [index, { entries, rest }] of listings.entries()) {
      const directory = next[index]
      if (directory === undefined) continue
      this.#accept(directory, entries, rest)
      for (const each of directory.below) below.push(each)
    }
    const unlisted = next.slice(listings.length)
    for (const each of unlisted.reverse()) this.#pending.push(each)
    for (const each of below.reverse()) this.#pending.push(each)
  }

  async #listRest(directory: Directory<S>, names: Uint8Array): Promise<void> {
    const { kernel, root, withXattrs, signal } = this.#options
    const end = endOfNames(names, ENTRIES_PER_CALL)
    const entries = await kernel.listChildren(directory.path, names.subarray(0, end), {
      ...{ root, withXattrs, signal },
    })
    this.#accept(directory, entries, end < names.length ? names.subarray(end) : undefined)
    for (const each of directory.below.toReversed()) this.#pending.push(each)
  }

  #accept(
    directory: Directory<S>,
    found: readonly ScannedEntry[],
    rest: Uint8Array | undefined,
  ): void {
    const entries: ScannedEntry[] = []
    const below: Directory<S>[] = []
    for (const entry of found) {
      if (entry.type !== 'dir') {
        if (this.#options.keeps(entry, directory.scope)) entries.push(entry)
        continue
      }
      const { isKept, scope } = this.#options.enter(entry, directory.scope)
      if (isKept) entries.push(entry)
      if (isKept && scope !== undefined) below.push(newDirectory(entry.path, scope))
    }
    Object.assign(directory, { entries, at: 0, rest, below, belowAt: 0, isListed: true })
  }
}

function newDirectory<S>(path: LayerPath, scope: S): Directory<S> {
  const nothing = { entries: [], at: 0, rest: undefined, below: [], belowAt: 0 }
  return { path, scope, ...nothing, isListed: false }
}

function forget<S>(directory: Directory<S>): void {
  directory.entries = []
  directory.below = []
}

/** Where the first `count` of the names end. */
function endOfNames(names: Uint8Array, count: number): number {
  let end = 0
  for (let taken = 0; taken < count && end < names.length; taken += 1) {
    const nul = names.indexOf(NUL, end)
    end = nul < 0 ? names.length : nul + 1
  }
  return end
}
