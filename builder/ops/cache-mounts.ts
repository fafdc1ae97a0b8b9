import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'

/** A lock that is held until disposed; held locks of other processes count too. */
export interface MountLocks {
  acquire(name: string, signal: AbortSignal, mode: 'shared' | 'exclusive'): Promise<AsyncDisposable>
  tryAcquire(name: string, mode: 'shared' | 'exclusive'): Promise<AsyncDisposable | undefined>
}

export interface CacheMountRequest {
  readonly cacheId: string
  readonly sharing: 'shared' | 'private' | 'locked'
  /** Distinguishes a cache that begins with the content of a stage (features row D69). */
  readonly initial: string | undefined
  /** The step was told to ignore the cache: what earlier builds left in the mount goes too, as with BuildKit. */
  readonly isFresh: boolean
  /** Makes a new cache: `directory`, whose parent exists, with the content in `fs` below it; `fs` appears whole. */
  create(directory: string, signal: AbortSignal): Promise<void>
}

export interface CacheMount extends AsyncDisposable {
  /** What is mounted. */
  readonly directory: string
}

/** More writers at once than this share nothing and are not a case, they are a mistake. */
const PRIVATE_COPIES_MAX = 1000

/**
 * Directories that RUN steps keep between builds, one per id below `mounts/`. Who may use one at the same time is a file
 * lock, so it holds across processes (features row D70): `shared` is a shared lock, `locked` an exclusive one,
 * `private` takes the first copy that nobody uses.
 */
export class CacheMounts {
  readonly #directory: string
  readonly #locks: MountLocks
  readonly #discard: (path: string) => Promise<void>
  /** Caches that this build has used: what its own steps wrote stays for its later ones. */
  readonly #used = new Set<string>()

  /** `discard` takes a directory away although others may still have it mounted; absent is fine. */
  constructor(directory: string, locks: MountLocks, discard: (path: string) => Promise<void>) {
    this.#directory = directory
    this.#locks = locks
    this.#discard = discard
  }

  /** Waits until the cache may be used. The caller disposes it when its step has ended. */
  async acquire(request: CacheMountRequest, signal: AbortSignal): Promise<CacheMount> {
    const name = cacheName(request)
    if (request.sharing !== 'private') {
      const mode = request.sharing === 'shared' ? 'shared' : 'exclusive'
      return await this.#open(
        name,
        await this.#locks.acquire(`mount-${name}`, signal, mode),
        request,
        signal,
      )
    }
    for (let copy = 0; copy < PRIVATE_COPIES_MAX; copy += 1) {
      const copyName = copy === 0 ? name : `${name}-${copy}`
      const lock = await this.#locks.tryAcquire(`mount-${copyName}`, 'exclusive')
      if (lock !== undefined) {
        return await this.#open(copyName, lock, request, signal)
      }
    }
    return await this.#open(
      name,
      await this.#locks.acquire(`mount-${name}`, signal, 'exclusive'),
      request,
      signal,
    )
  }

  async #open(
    name: string,
    lock: AsyncDisposable,
    request: CacheMountRequest,
    signal: AbortSignal,
  ): Promise<CacheMount> {
    try {
      const directory = join(this.#directory, name)
      // Two holders of a shared lock must not both fill a new cache.
      await using _creation = await this.#locks.acquire(`mount-new-${name}`, signal, 'exclusive')
      if (request.isFresh && !this.#used.has(name)) {
        await this.#discard(directory)
      }
      this.#used.add(name)
      if (!(await exists(join(directory, 'fs')))) {
        await request.create(directory, signal)
      }
      return {
        directory: join(directory, 'fs'),
        [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose](),
      }
    } catch (error) {
      await lock[Symbol.asyncDispose]()
      throw error
    }
  }
}

/** Ids are free text from the Dockerfile; as a path they are only ever hashed. */
export function cacheName(request: Pick<CacheMountRequest, 'cacheId' | 'initial'>): string {
  return createHash('sha256')
    .update(`${request.cacheId.length}:${request.cacheId}${request.initial ?? ''}`)
    .digest('hex')
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      return false
    }
    throw error
  }
}
