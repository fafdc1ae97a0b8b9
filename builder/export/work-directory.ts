import { constants } from 'node:fs'
import { lstat, mkdtemp, open, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import {
  DisposableScope,
  errnoOf,
  type HeldLock,
  type Kernel,
  tryLockFile,
} from '../../snapshotter/index.ts'

export type WorkDirectoryKernel = Pick<Kernel, 'removeTree' | 'tryLock' | 'unlock'>

export interface WorkDirectory extends AsyncDisposable {
  readonly path: string
}

/** What mkdtemp(3) makes of ours. */
const PREFIX = '.tsbuild-export-'
const NAME = /^\.tsbuild-export-[A-Za-z0-9]{6}$/
/** Held as long as the process lives. */
const LOCK = 'lock'
const FOUND_FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
const LOCK_OPTIONS = { mode: 'exclusive', removeAfter: false } as const

/** How a file system says that it has no locks: then nobody can tell who lives, and nothing is taken. */
const NO_LOCKS: ReadonlySet<string> = new Set(['ENOLCK', 'ENOSYS', 'EOPNOTSUPP', 'ENOTSUP'])

/**
 * A directory for unfinished files in somebody's directory `parent`; disposing removes it. So does the next call there when
 * this process is killed: whoever gets the lock in it may remove it. A new one is not yet locked: where another process is
 * faster, one more is made.
 */
export async function openWorkDirectory(
  parent: string,
  kernel: WorkDirectoryKernel,
): Promise<WorkDirectory> {
  await using scope = new DisposableScope()
  const own = await lockedDirectory(parent, kernel)
  scope.use(own)
  for (const name of await readdir(parent)) {
    if (NAME.test(name)) await takeIfDead(join(parent, name), join(own.path, name), kernel)
  }
  scope.release()
  return own
}

/**
 * Whether the entry `name` of `parent` is a work directory that a process uses, of whatever user and state root. Where nobody
 * can tell it is.
 */
export async function isUsedWorkDirectory(
  parent: string,
  name: string,
  kernel: Pick<Kernel, 'tryLock'>,
): Promise<boolean> {
  if (!NAME.test(name)) return false
  try {
    await using lock = await open(join(parent, name, LOCK), FOUND_FILE)
    return !kernel.tryLock(lock.fd, 'exclusive')
  } catch (error) {
    const errno = errnoOf(error) ?? ''
    if (errno === 'EACCES' || NO_LOCKS.has(errno)) return true
    if (errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ELOOP') return false
    throw error
  }
}

async function lockedDirectory(
  parent: string,
  kernel: WorkDirectoryKernel,
): Promise<WorkDirectory> {
  for (;;) {
    const path = await mkdtemp(join(parent, PREFIX))
    // The signal that ended the work must not stop the cleaning up.
    const remove = (): Promise<void> => kernel.removeTree(path, new AbortController().signal)
    await using scope = new DisposableScope()
    scope.defer(remove)
    const lock = await lockOf(path, kernel)
    if (lock === 'taken') continue
    scope.release()
    return {
      path,
      [Symbol.asyncDispose]: async () => {
        await using _lock = lock === 'unknown' ? undefined : lock
        await remove()
      },
    }
  }
}

/**
 * Moves the directory of a process that was killed into ours, to go with it: where it was nobody can lock it any more. What is
 * not as we make it is not ours: of another user, open to others, without a lock.
 */
async function takeIfDead(path: string, to: string, kernel: WorkDirectoryKernel): Promise<void> {
  try {
    const made = await lstat(path)
    if (!made.isDirectory() || made.uid !== process.getuid?.() || (made.mode & 0o777) !== 0o700)
      return
    // Not made when it is absent: whoever removes the directory is not to find something new in it.
    await using lock = await open(join(path, LOCK), FOUND_FILE)
    if (kernel.tryLock(lock.fd, 'exclusive')) await rename(path, to)
  } catch (error) {
    // Gone meanwhile, without a lock, or where locks tell nothing.
    const errno = errnoOf(error) ?? ''
    if (errno !== 'ENOENT' && errno !== 'ELOOP' && !NO_LOCKS.has(errno)) throw error
  }
}

/** `taken`: another process has it, or has moved it away. */
async function lockOf(
  path: string,
  kernel: WorkDirectoryKernel,
): Promise<HeldLock | 'taken' | 'unknown'> {
  try {
    return (await tryLockFile(kernel, join(path, LOCK), LOCK_OPTIONS)) ?? 'taken'
  } catch (error) {
    const errno = errnoOf(error) ?? ''
    if (errno === 'ENOENT') return 'taken'
    if (NO_LOCKS.has(errno)) return 'unknown'
    throw error
  }
}
