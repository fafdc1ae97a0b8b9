import { isAbsolute, join } from 'node:path'
import type { Digest } from '../../registry-client/oci/index.ts'
import {
  type Kernel,
  type LayerPath,
  type PackSource,
  parentOf,
  type ScannedEntry,
} from '../../snapshotter/index.ts'
import type { TreeEntry, TreeFile, TreePlace } from '../ops/copy-source.ts'
import type { ContextTree } from './context-parts.ts'
import type { ContextState } from './context-state.ts'
import { ContextError } from './errors.ts'
import type { PathMatcher } from './ignore.ts'
import { ContextScan } from './scan.ts'
import type { FileStat } from './stat-block.ts'
import type { StatCache } from './stat-cache.ts'

/** Files that are hashed in one call of the addon: many enough for all threads, few enough to be canceled between. */
const FILES_PER_CALL = 4096
/** Links looked at to explain that a file is missing. */
const LINKS_MAX = 16

export interface DirectoryTreeOptions {
  readonly kernel: Pick<Kernel, 'listDirectories' | 'listChildren' | 'hashFiles'>
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
 * A directory of the host as a tree that COPY and ADD read from. It is listed and hashed as far as somebody asks.
 * Digests say what the file held when it was hashed; the packer is given them to check.
 */
export class DirectoryTree implements ContextTree {
  readonly description: string
  readonly identity?: string
  readonly isPartial: boolean
  readonly #options: DirectoryTreeOptions
  readonly #scan: ContextScan
  readonly #lookedAtMs: number
  #hashing: Promise<unknown> = Promise.resolve()
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

  async *walk(path: LayerPath): AsyncGenerator<readonly TreeEntry[]> {
    for await (const page of this.#scan.walk(path)) {
      yield page.map((entry) => this.#toEntry(entry))
    }
  }

  /** Fails with `context-unreadable` for the first file that cannot be read. */
  async fileDigests(files: readonly TreeFile[]): Promise<readonly Digest[]> {
    // One at a time: the second one finds in the cache what the first one hashed.
    const hashed = this.#hashing.then(() => this.#digestsOf(files))
    this.#hashing = hashed.catch(() => undefined)
    return await hashed
  }

  async stateOf(path: LayerPath): Promise<Digest | undefined> {
    return await this.#options.state?.of(path)
  }

  source({ path }: TreePlace): PackSource {
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

  /** What is hashed after it is kept by another call. */
  async save(): Promise<void> {
    const statCache = this.#statCache
    this.#statCache = undefined
    await statCache?.save()
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

  async #digestsOf(files: readonly TreeFile[]): Promise<Digest[]> {
    this.#statCache ??= await this.#options.statCache?.()
    const stats = files.map(statOf)
    const known = (await this.#statCache?.lookup(stats)) ?? []
    const missing = stats.filter((_, index) => known[index] === undefined)
    const hashed: Digest[] = []
    for (let start = 0; start < missing.length; start += FILES_PER_CALL) {
      hashed.push(...(await this.#hash(missing.slice(start, start + FILES_PER_CALL))))
    }
    const rest = hashed.values()
    return files.map((file, index) => {
      const digest = known[index] ?? rest.next().value
      if (digest === undefined) {
        throw this.#unreadable(file.path, undefined)
      }
      return digest
    })
  }

  async #hash(stats: readonly FileStat[]): Promise<Digest[]> {
    const { kernel, root, signal } = this.#options
    const results = await kernel.hashFiles(
      root,
      stats.map((stat) => stat.path),
      signal,
    )
    const digests: Digest[] = []
    for (const [index, stat] of stats.entries()) {
      const result = results[index]
      if (result === undefined || result instanceof Error) {
        throw this.#unreadable(stat.path, result)
      }
      digests.push(result)
      const recorded = this.#statCache?.record(stat, result, this.#lookedAtMs)
      if (recorded !== undefined) {
        await recorded
      }
    }
    return digests
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
        const stat = scanned
        return xattrs === undefined
          ? { type: 'file', path, mode, uid, gid, mtimeSec, sizeBytes, linkGroup, stat }
          : { type: 'file', path, mode, uid, gid, mtimeSec, sizeBytes, linkGroup, stat, xattrs }
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

function statOf({ path, stat }: TreeFile): FileStat {
  if (stat === undefined) {
    throw new TypeError(`could not hash ${path}: it is of another tree`)
  }
  return stat
}

/** The directories above `path`, the outermost first. */
function parentPaths(path: LayerPath): LayerPath[] {
  const parent = parentOf(path)
  return parent === '' ? [] : [...parentPaths(parent), parent]
}
