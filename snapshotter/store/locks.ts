import { type FileHandle, open, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Kernel } from '../native/kernel-types.ts'
import { StoreError, errnoOf } from './errors.ts'

/** What locking needs of the kernel. */
export type Locker = Pick<Kernel, 'tryLock' | 'unlock'>

export type LockMode = 'shared' | 'exclusive'

/** A held flock(2). It ends with the process at the latest, so a crash never leaves one behind. */
export interface HeldLock extends AsyncDisposable {
  readonly path: string
}

export interface LockOptions {
  readonly mode: LockMode
  /** The file is of no use without a holder: it is removed by the last one. */
  readonly removeAfter: boolean
}

/** Waits grow from a fraction of what a trivial step takes to what nobody notices. */
const WAIT_MS_FIRST = 2
const WAIT_MS_MAX = 50

/** Takes the lock at once, or returns undefined when somebody else holds it. */
export async function tryLockFile(
  locker: Locker,
  path: string,
  options: LockOptions,
): Promise<HeldLock | undefined> {
  for (;;) {
    const handle = await open(path, 'a', 0o600)
    let isHeld = false
    try {
      if (!locker.tryLock(handle.fd, options.mode)) return undefined
      // The holder before us may have removed the file between our open and our lock: a lock on a
      // file without a name excludes nobody.
      if (!(await isSameFile(handle, path))) continue
      isHeld = true
      return heldLock(locker, handle, path, options)
    } finally {
      if (!isHeld) await handle.close()
    }
  }
}

/**
 * Takes the lock, waiting for other holders: flock(2) can only wait by blocking a thread, so this asks again after short,
 * growing pauses. Rejects with the signal's reason when aborted.
 */
export async function lockFile(
  locker: Locker,
  path: string,
  options: LockOptions,
  signal: AbortSignal,
): Promise<HeldLock> {
  for (let waitMs = WAIT_MS_FIRST; ; waitMs = Math.min(waitMs * 2, WAIT_MS_MAX)) {
    signal.throwIfAborted()
    const lock = await tryLockFile(locker, path, options)
    if (lock !== undefined) return lock
    await pause(waitMs, signal)
  }
}

/** Rejects with the signal's own reason, which the timer would wrap. */
export async function pause(timeMs: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(timeMs, undefined, { signal })
  } catch (error) {
    signal.throwIfAborted()
    throw error
  }
}

/** Locks by name between all processes that share a state root. */
export class NamedLocks {
  readonly #locker: Locker
  readonly #directory: string

  /** `directory`: `work/locks` of the state root. */
  constructor(locker: Locker, directory: string) {
    this.#locker = locker
    this.#directory = directory
  }

  /** Waits until the lock is free. Names match `[a-z0-9][a-z0-9._-]*`, at most 200 characters; else `name-invalid`. */
  async acquire(
    name: string,
    signal: AbortSignal,
    mode: LockMode = 'exclusive',
  ): Promise<HeldLock> {
    return lockFile(this.#locker, this.#pathOf(name), { mode, removeAfter: true }, signal)
  }

  /** undefined when the lock is taken. */
  async tryAcquire(name: string, mode: LockMode = 'exclusive'): Promise<HeldLock | undefined> {
    return tryLockFile(this.#locker, this.#pathOf(name), { mode, removeAfter: true })
  }

  /** Removes the files of locks that nobody holds: a killed holder leaves its file behind. */
  async removeFree(): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      // Giving a lock back removes its file.
      await using _lock = await this.tryAcquire(name)
    }
  }

  #pathOf(name: string): string {
    return join(this.#directory, checkedName(name))
  }
}

/** `name` when it may become a file name of ours; throws `name-invalid` otherwise. Names from outside are hashed first. */
export function checkedName(name: string): string {
  if (!/^[a-z0-9][a-z0-9._-]{0,199}$/.test(name)) {
    throw new StoreError(
      'name-invalid',
      `could not use ${JSON.stringify(name)} as a name: not [a-z0-9][a-z0-9._-]*`,
    )
  }
  return name
}

async function isSameFile(handle: FileHandle, path: string): Promise<boolean> {
  try {
    const [locked, named] = await Promise.all([handle.stat(), stat(path)])
    return locked.ino === named.ino && locked.dev === named.dev
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}

function heldLock(
  locker: Locker,
  handle: FileHandle,
  path: string,
  options: LockOptions,
): HeldLock {
  let isReleased = false
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      if (isReleased) return
      isReleased = true
      // Removing while holding it exclusively: whoever waits notices that its file lost the name. The last of several
      // sharers gets it exclusively.
      const isLast = (): boolean =>
        options.mode === 'exclusive' || locker.tryLock(handle.fd, 'exclusive')
      if (options.removeAfter && isLast()) await rm(path, { force: true })
      await handle.close()
    },
  }
}
