import {
  errnoOf,
  type Kernel,
  type LayerPath,
  parentOf,
  type ScannedEntry,
  walkTree,
} from '../../snapshotter/index.ts'
import { ContextError } from './errors.ts'
import type { DirectoryMatch, MatchScope, PathMatcher } from './ignore.ts'

/** Directories that are listed in one call: bounds what is in memory twice, and how long a cancel waits. */
const DIRECTORIES_PER_CALL = 512

export interface ScanOptions {
  readonly kernel: Pick<Kernel, 'listDirectories' | 'listChildren'>
  /** Host directory of the context. */
  readonly root: string
  readonly ignore: PathMatcher
  readonly signal: AbortSignal
}

interface PendingDirectory {
  readonly path: LayerPath
  readonly scope: MatchScope
}

/** A directory that is ignored but may hold something that is not. */
interface OpenDirectory {
  readonly parent: LayerPath
  readonly entry: ScannedEntry
}

/**
 * A context directory, ignored paths left out (features rows C1, D122-D130, D138). No file is opened. Sockets do not exist
 * for a build (D111). A directory that is ignored itself appears when something below it does not (D127). What is asked
 * for by its path is listed once and kept; what is walked through is not.
 */
export class ContextScan {
  readonly #options: ScanOptions
  readonly #listed = new Map<LayerPath, ScannedEntry[]>()
  readonly #pending = new Map<LayerPath, PendingDirectory>()
  readonly #closed = new Set<LayerPath>()
  #queue: Promise<void> = Promise.resolve()
  #isUsed = false

  constructor(options: ScanOptions) {
    this.#options = options
    this.#pending.set('', { path: '', scope: options.ignore.root })
  }

  /** Entries of a directory, sorted by name; empty when it is none, or ignored. */
  async list(path: LayerPath): Promise<readonly ScannedEntry[]> {
    if (!this.#listed.has(path)) {
      await this.#exclusively(() => this.#reach(path))
    }
    return this.#listed.get(path) ?? []
  }

  /** What is below `path`, parents first and sorted by components, in pages; nothing when it is ignored. */
  async *walk(path: LayerPath): AsyncGenerator<readonly ScannedEntry[]> {
    const scope = this.#scopeOf(path)
    if (scope === undefined) {
      return
    }
    const { kernel, root, signal } = this.#options
    const shown = new ShownDirectories()
    this.#isUsed = true
    const pages = walkTree<MatchScope>({
      ...{ kernel, root, path, scope, signal },
      withXattrs: true,
      keeps: (entry, within) => isPart(entry, within),
      enter: (entry, within) => {
        const { isMatch, isClosed, scope: below } = within.enter(entry.path)
        if (isClosed) {
          this.#closed.add(entry.path)
        } else if (isMatch) {
          shown.hide(entry)
        }
        return { isKept: !isClosed, scope: isClosed ? undefined : below }
      },
    })
    try {
      for await (const page of pages) {
        yield shown.of(page)
      }
    } catch (error) {
      unreadable(error)
    }
  }

  /** The entry at `path` if its directory was listed and it is not ignored. */
  find(path: LayerPath): ScannedEntry | undefined {
    const siblings = this.#listed.get(parentOf(path)) ?? []
    let low = 0
    let high = siblings.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((siblings[middle]?.path ?? '') < path) {
        low = middle + 1
      } else {
        high = middle
      }
    }
    const found = siblings[low]
    return found?.path === path ? found : undefined
  }

  /** Directories that were met and are ignored with all that they hold; undefined when nothing was listed. */
  closed(): readonly LayerPath[] | undefined {
    return this.#isUsed ? [...this.#closed] : undefined
  }

  #scopeOf(path: LayerPath): MatchScope | undefined {
    let scope: MatchScope | undefined = this.#options.ignore.root
    for (const directory of selfAndParents(path)) {
      if (directory !== '' && scope !== undefined) {
        const entered: DirectoryMatch = scope.enter(directory)
        scope = entered.isClosed ? undefined : entered.scope
      }
    }
    return scope
  }

  /** Two callers may want the same directory: one at a time. */
  #exclusively(action: () => Promise<void>): Promise<void> {
    const result = this.#queue.then(action)
    // The failure belongs to the caller; the next one tries again.
    this.#queue = result.catch(() => undefined)
    return result
  }

  /** Lists `path` and, first, the directories above it. */
  async #reach(path: LayerPath): Promise<void> {
    for (const directory of selfAndParents(path)) {
      const pending = this.#pending.get(directory)
      if (pending !== undefined) {
        await this.#expand([pending])
      }
    }
  }

  /** Lists directories, and below them those that are ignored as far as needed to know whether they appear. */
  async #expand(directories: readonly PendingDirectory[]): Promise<void> {
    const open: OpenDirectory[] = []
    let level: readonly PendingDirectory[] = directories
    while (level.length > 0) {
      const found: OpenDirectory[] = []
      for (let start = 0; start < level.length; start += DIRECTORIES_PER_CALL) {
        found.push(...(await this.#listBatch(level.slice(start, start + DIRECTORIES_PER_CALL))))
      }
      open.push(...found)
      level = found.flatMap(({ entry }) => this.#pending.get(entry.path) ?? [])
    }
    // Deepest first: a directory appears because of what appears in it.
    for (const { parent, entry } of open.reverse()) {
      if ((this.#listed.get(entry.path) ?? []).length > 0) {
        const siblings = this.#listed.get(parent) ?? []
        siblings.push(entry)
        siblings.sort(byPath)
      }
    }
  }

  async #listBatch(batch: readonly PendingDirectory[]): Promise<OpenDirectory[]> {
    const { kernel, root, signal } = this.#options
    this.#isUsed = true
    const lists = await kernel
      .listDirectories(
        batch.map((each) => each.path),
        { root, withXattrs: true, signal, entriesMax: Number.MAX_SAFE_INTEGER },
      )
      .catch((error: unknown) => unreadable(error))
    return batch.flatMap((directory, index) => {
      this.#pending.delete(directory.path)
      return this.#accept(directory, lists[index]?.entries ?? [])
    })
  }

  #accept(directory: PendingDirectory, found: readonly ScannedEntry[]): OpenDirectory[] {
    const open: OpenDirectory[] = []
    const kept: ScannedEntry[] = []
    for (const entry of found) {
      if (entry.type !== 'dir') {
        if (isPart(entry, directory.scope)) {
          kept.push(entry)
        }
        continue
      }
      const { isMatch, isClosed, scope } = directory.scope.enter(entry.path)
      if (isClosed) {
        this.#closed.add(entry.path)
      } else {
        this.#pending.set(entry.path, { path: entry.path, scope })
      }
      if (!isMatch) {
        kept.push(entry)
      } else if (!isClosed) {
        open.push({ parent: directory.path, entry })
      }
    }
    this.#listed.set(directory.path, kept.sort(byPath))
    return open
  }
}

/** Of what is no directory. */
function isPart(entry: ScannedEntry, scope: MatchScope): boolean {
  return entry.type !== 'socket' && !scope.isMatch(entry.path)
}

/** Directories of a walk that are ignored themselves wait until something below them appears. */
class ShownDirectories {
  readonly #hidden = new Set<ScannedEntry>()
  readonly #waiting: ScannedEntry[] = []

  hide(directory: ScannedEntry): void {
    this.#hidden.add(directory)
  }

  of(page: readonly ScannedEntry[]): readonly ScannedEntry[] {
    if (this.#hidden.size === 0 && this.#waiting.length === 0) {
      return page
    }
    const shown: ScannedEntry[] = []
    for (const entry of page) {
      while (this.#waiting.length > 0 && !entry.path.startsWith(`${this.#waiting.at(-1)?.path}/`)) {
        this.#waiting.pop()
      }
      if (this.#hidden.delete(entry)) {
        this.#waiting.push(entry)
      } else {
        shown.push(...this.#waiting.splice(0), entry)
      }
    }
    return shown
  }
}

function byPath(a: ScannedEntry, b: ScannedEntry): number {
  return a.path < b.path ? -1 : 1
}

/** The root, the directories above `path`, `path`. */
function* selfAndParents(path: LayerPath): Iterable<LayerPath> {
  yield ''
  for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
    yield path.slice(0, slash)
  }
  if (path !== '') {
    yield path
  }
}

/** What the user may change is an error of the context; anything else stays what it is. */
function unreadable(error: unknown): never {
  const code = errnoOf(error)
  if (error instanceof Error && (code === 'EACCES' || code === 'EPERM')) {
    throw new ContextError('context-unreadable', error.message, { cause: error })
  }
  throw error
}
