import { createHash } from 'node:crypto'
import { stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, moveToTrash, type Store } from '../../snapshotter/index.ts'

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
 * `private` takes the first copy that nobody uses. `prune` leaves those alone that a living process has used (row K23).
 */
export class CacheMounts {
  readonly #store: Pick<Store, 'root' | 'locks' | 'lease'>
  /** Caches that this build has used: what its own steps wrote stays for its later ones. */
  readonly #used = new Set<string>()

  constructor(store: Pick<Store, 'root' | 'locks' | 'lease'>) {
    this.#store = store
  }

  /** Waits until the cache may be used. The caller disposes it when its step has ended. */
  async acquire(request: CacheMountRequest, signal: AbortSignal): Promise<CacheMount> {
    const name = cacheName(request)
    const { locks } = this.#store
    if (request.sharing === 'shared') {
      if (request.isFresh) await this.#discardUnused(name, signal)
      return await this.#open(
        name,
        await locks.acquire(lockName(name), signal, 'shared'),
        request,
        signal,
      )
    }
    for (let copy = 0; request.sharing === 'private' && copy < PRIVATE_COPIES_MAX; copy += 1) {
      const copyName = copy === 0 ? name : `${name}-${copy}`
      const lock = await locks.tryAcquire(lockName(copyName), 'exclusive')
      if (lock !== undefined) {
        return await this.#open(copyName, lock, request, signal)
      }
    }
    return await this.#open(
      name,
      await locks.acquire(lockName(name), signal, 'exclusive'),
      request,
      signal,
    )
  }

  /** `lock` is given back with the mount, or when it cannot be opened. */
  async #open(
    name: string,
    lock: AsyncDisposable,
    request: CacheMountRequest,
    signal: AbortSignal,
  ): Promise<CacheMount> {
    try {
      const { root, lease } = this.#store
      const directory = join(root.mountsDir, name)
      await lease.hold([`record:${mountRecordName(name)}`], signal)
      // Two holders of a shared lock must not both fill a new cache.
      await using _creation = await this.#lockCreation(name, signal)
      if (request.isFresh && request.sharing !== 'shared') await this.#discard(name)
      this.#used.add(name)
      if (!(await exists(join(directory, 'fs')))) {
        await request.create(directory, signal)
      }
      // The time that `prune` goes by (row K24): what is written in it does not change its own.
      const now = new Date()
      await utimes(directory, now, now)
      return {
        directory: join(directory, 'fs'),
        [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose](),
      }
    } catch (error) {
      await lock[Symbol.asyncDispose]()
      throw error
    }
  }

  /** What another step has mounted just now stays: its files must not vanish while it runs. */
  async #discardUnused(name: string, signal: AbortSignal): Promise<void> {
    await using _creation = await this.#lockCreation(name, signal)
    await using alone = await this.#store.locks.tryAcquire(lockName(name), 'exclusive')
    if (alone !== undefined) await this.#discard(name)
    this.#used.add(name)
  }

  async #discard(name: string): Promise<void> {
    const { root } = this.#store
    if (!this.#used.has(name)) await moveToTrash(root, join(root.mountsDir, name))
  }

  async #lockCreation(name: string, signal: AbortSignal): Promise<AsyncDisposable> {
    return await this.#store.locks.acquire(`mount-new-${name}`, signal, 'exclusive')
  }
}

function lockName(name: string): string {
  return `mount-${name}`
}

/** The name under which a lease holds it from the collector of garbage. */
export function mountRecordName(name: string): string {
  return `mount-${name}`
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
    if (errnoOf(error) === 'ENOENT') {
      return false
    }
    throw error
  }
}
