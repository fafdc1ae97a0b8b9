import { isAbsolute, join } from 'node:path'
import type { Digest } from '../../registry-client/oci/index.ts'
import {
  type Kernel,
  type LayerPath,
  type PackSource,
  parentOf,
  type ScannedEntry,
} from '../../snapshotter/index.ts'
import type { SourceTree, TreeEntry } from '../ops/copy-source.ts'
import type { ContextState } from './context-state.ts'
import { ContextError } from './errors.ts'
import type { PathMatcher } from './ignore.ts'
import { ContextScan } from './scan.ts'
import type { StatCache } from './stat-cache.ts'

/** Files that are hashed in one call of the addon: many enough for all threads, few enough to be canceled between. */
const FILES_PER_CALL = 2048
/** Links looked at to explain that a file is missing. */
const LINKS_MAX = 16

export interface DirectoryTreeOptions {
  readonly kernel: Pick<Kernel, 'listDirectories' | 'hashFiles'>
  /** Host directory. */
  readonly root: string
  readonly description: string
  /** See `SourceTree`. */
  readonly identity?: string
  readonly ignore: PathMatcher
  /** Where the patterns of `ignore` are from, for messages: `excluded by .dockerignore`. */
  readonly ignoreDescription?: string
  /**
   * `root`: owned by 0:0 whoever owns them here, as files of a build context are (features rows D103, D132). `kept`:
   * as they are, for archives that were unpacked with their owners.
   */
  readonly ownership: 'root' | 'kept'
  /** Digests of earlier builds, read when a file is to be hashed; undefined for directories that exist for this build only. */
  readonly statCache: (() => Promise<StatCache>) | undefined
  /** Tells what did not change since earlier builds; absent for those too. */
  readonly state?: ContextState
  readonly signal: AbortSignal
  readonly now?: () => number
}

/**
 * A directory of the host as a tree that COPY and ADD read from. It is listed and hashed as far as somebody asks, and
 * every file at most once. Digests say what the file held when it was hashed; the packer is given them to check.
 */
export class DirectoryTree implements SourceTree {
  readonly description: string
  readonly identity?: string
  readonly isPartial: boolean
  readonly #options: DirectoryTreeOptions
  readonly #scan: ContextScan
  readonly #lookedAtMs: number
  readonly #digests = new Map<LayerPath, Digest>()
  #hashing: Promise<void> = Promise.resolve()
  #statCache: StatCache | undefined

  constructor(options: DirectoryTreeOptions) {
    this.description = options.description
    if (options.identity !== undefined) {
      this.identity = options.identity
    }
    this.isPartial = options.ownership === 'root'
    this.#options = options
    this.#lookedAtMs = (options.now ?? Date.now)()
    this.#scan = new ContextScan(options)
  }

  async lookup(path: LayerPath): Promise<TreeEntry | undefined> {
    if (path === '') {
      const mtimeSec = Math.floor(this.#lookedAtMs / 1000)
      return { type: 'dir', path: '', mode: 0o755, uid: 0, gid: 0, mtimeSec }
    }
    const scanned = await this.#find(path)
    return scanned === undefined ? undefined : this.#toEntry(scanned)
  }

  async list(path: LayerPath): Promise<readonly TreeEntry[]> {
    const scanned = await this.#scan.list(path)
    return scanned.map((entry) => this.#toEntry(entry))
  }

  prefetch(path: LayerPath): Promise<void> {
    return this.#scan.prefetch(path)
  }

  /** Fails with `context-unreadable` for the first file that cannot be read. */
  async fileDigests(paths: readonly LayerPath[]): Promise<readonly Digest[]> {
    const hashed = this.#hashing.then(() => this.#hashMissing(paths))
    this.#hashing = hashed.catch(() => undefined)
    await hashed
    return paths.map((path) => {
      const digest = this.#digests.get(path)
      if (digest === undefined) {
        throw this.#unreadable(path, new Error('it is not in the context'))
      }
      return digest
    })
  }

  async stateOf(path: LayerPath): Promise<Digest | undefined> {
    return await this.#options.state?.of(path)
  }

  source(path: LayerPath): PackSource {
    return { kind: 'path', root: this.#options.root, path }
  }

  missingReason(path: LayerPath): string | undefined {
    if (this.#options.ignore.isMatch(path)) {
      return this.#options.ignoreDescription
    }
    const link = this.#lastLink(path)
    return link === undefined
      ? undefined
      : `${link.path} is a symbolic link to ${link.target}, which is not in ${this.description}`
  }

  /** Keeps what was learned for the next build. */
  async save(): Promise<void> {
    await this.#statCache?.save(this.#scan.listed())
    const closed = this.#scan.closed()
    if (closed !== undefined) {
      await this.#options.state?.remember(closed)
    }
  }

  /** The link that the search for a missing `path` ended at, as far as its directories were listed. */
  #lastLink(path: LayerPath): { readonly path: LayerPath; readonly target: string } | undefined {
    let last: { readonly path: LayerPath; readonly target: string } | undefined
    let next = path
    for (let count = 0; count < LINKS_MAX; count++) {
      const link = [...parentPaths(next), next]
        .map((each) => this.#scan.find(each))
        .find((entry) => entry?.type === 'symlink')
      if (link?.target === undefined) {
        return last
      }
      last = { path: link.path, target: link.target }
      const rest = next.slice(link.path.length)
      // Absolute targets begin at the context, and `..` ends there, as in a root filesystem.
      next = join('/', isAbsolute(link.target) ? '' : parentOf(link.path), link.target, rest).slice(
        1,
      )
    }
    return last
  }

  async #find(path: LayerPath): Promise<ScannedEntry | undefined> {
    await this.#scan.list(parentOf(path))
    return this.#scan.find(path)
  }

  async #hashMissing(paths: readonly LayerPath[]): Promise<void> {
    const missing: ScannedEntry[] = []
    this.#statCache ??= await this.#options.statCache?.()
    const statCache = this.#statCache
    for (const path of paths) {
      if (this.#digests.has(path)) {
        continue
      }
      // Waiting for each of 50,000 files would take longer than all the rest.
      const entry = this.#scan.find(path) ?? (await this.#find(path))
      const known = entry === undefined ? undefined : statCache?.lookup(entry)
      if (known !== undefined) {
        this.#digests.set(path, known)
      } else if (entry !== undefined) {
        missing.push(entry)
      }
    }
    for (let start = 0; start < missing.length; start += FILES_PER_CALL) {
      await this.#hash(missing.slice(start, start + FILES_PER_CALL))
    }
  }

  async #hash(entries: readonly ScannedEntry[]): Promise<void> {
    const { kernel, root, signal } = this.#options
    const results = await kernel.hashFiles(
      root,
      entries.map((entry) => entry.path),
      signal,
    )
    for (const [index, entry] of entries.entries()) {
      const result = results[index]
      if (result === undefined || result instanceof Error) {
        throw this.#unreadable(entry.path, result)
      }
      this.#digests.set(entry.path, result)
      this.#statCache?.record(entry, result, this.#lookedAtMs)
    }
  }

  #unreadable(path: LayerPath, cause: Error | undefined): ContextError {
    const reason = cause?.message ?? 'no result'
    return new ContextError(
      'context-unreadable',
      `could not read ${path} of ${this.description}: ${reason}`,
      { cause, path },
    )
  }

  /** Called for every entry that is selected: files, nearly all of them, are made in one piece. */
  #toEntry(scanned: ScannedEntry): TreeEntry {
    const isKept = this.#options.ownership === 'kept'
    const { path, mtimeSec } = scanned
    const mode = scanned.mode & 0o7777
    const uid = isKept ? scanned.uid : 0
    const gid = isKept ? scanned.gid : 0
    switch (scanned.type) {
      case 'file': {
        const { sizeBytes } = scanned
        const linkGroup = scanned.nlink > 1 ? `${scanned.dev}:${scanned.ino}` : undefined
        const xattrs = layerXattrs(scanned)
        return xattrs === undefined
          ? { type: 'file', path, mode, uid, gid, mtimeSec, sizeBytes, linkGroup }
          : { type: 'file', path, mode, uid, gid, mtimeSec, sizeBytes, linkGroup, xattrs }
      }
      case 'dir':
      case 'fifo':
        return { type: scanned.type, path, mode, uid, gid, mtimeSec }
      case 'symlink':
        return {
          type: 'symlink',
          path,
          mode: 0o777,
          uid,
          gid,
          mtimeSec,
          target: scanned.target ?? '',
        }
      case 'char':
      case 'block': {
        const { major = 0, minor = 0 } = scanned
        return { type: scanned.type, path, mode, uid, gid, mtimeSec, major, minor }
      }
      case 'socket':
        throw new TypeError(`could not use ${scanned.path}: a scan does not give sockets`)
    }
  }
}

/** Of a host's attributes only file capabilities go into a layer; labels and ACLs of the host do not (O22, O23). */
function layerXattrs(scanned: ScannedEntry): TreeEntry['xattrs'] {
  const xattrs = scanned.xattrs?.filter(({ name }) => name === 'security.capability')
  return xattrs === undefined || xattrs.length === 0 ? undefined : xattrs
}

/** The directories above `path`, the outermost first. */
function parentPaths(path: LayerPath): LayerPath[] {
  const parent = parentOf(path)
  return parent === '' ? [] : [...parentPaths(parent), parent]
}
