import { constants } from 'node:fs'
import { type FileHandle, open, readdir, rmdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { DisposableScope, errnoOf, kernel } from '../../snapshotter/index.ts'
import { cannotLimit } from './cgroup-error.ts'
import { makeGroup, removeGroup } from './cgroup-files.ts'
import { DEFAULT_PARENT } from './cgroup-request.ts'

/** How createCgroup calls the group of a step. */
const NAME = /^[0-9a-f]{16}$/
const TRIES_MAX = 100

/**
 * A group of this process at `directory`; disposing removes it. Its lock tells that this process lives: what a killed one
 * left beside it, where only our groups are, goes first. Errors: `sandbox-limit-unsupported`.
 */
export async function makeOwnGroup(directory: string): Promise<AsyncDisposable> {
  const parent = dirname(directory)
  if (basename(parent) === DEFAULT_PARENT) await removeLeftovers(parent)
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    await makeGroup(directory)
    const lock = await lockOf(directory)
    if (lock !== undefined) {
      const scope = new DisposableScope()
      scope.use(lock)
      scope.defer(() => removeGroup(directory))
      return scope
    }
    // Another process is looking whether it is a dead one's.
    await delay(1)
  }
  throw cannotLimit(`could not lock control group ${directory}`)
}

async function removeLeftovers(parent: string): Promise<void> {
  const names = await readdir(parent).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  })
  for (const name of names.filter((one) => NAME.test(one))) await removeIfDead(join(parent, name))
}

/** Its steps may be dying still, or it is of another user: then it stays. */
async function removeIfDead(directory: string): Promise<void> {
  try {
    await using lock = await lockOf(directory)
    if (lock !== undefined) await rmdir(directory)
  } catch (error) {
    if (!LEFT.has(errnoOf(error) ?? '')) throw error
  }
}

const LEFT: ReadonlySet<string> = new Set(['EBUSY', 'ENOENT', 'EACCES', 'EPERM', 'EROFS'])

/** undefined: another process has it, or removed it. */
async function lockOf(directory: string): Promise<FileHandle | undefined> {
  await using scope = new DisposableScope()
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY).catch(
    (error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw error
    },
  )
  if (handle === undefined) return undefined
  scope.use(handle)
  if (!kernel.tryLock(handle.fd, 'exclusive')) return undefined
  const named = await stat(directory).catch(() => undefined)
  if (named?.ino !== (await handle.stat()).ino) return undefined
  scope.release()
  return handle
}
