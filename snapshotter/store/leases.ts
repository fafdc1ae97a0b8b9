import { randomBytes } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Digest, DiffId } from '../../registry-client/oci/index.ts'
import { digestHex } from '../../registry-client/oci/index.ts'
import type { Kernel } from '../native/kernel-types.ts'
import { errnoOf, writeFailure } from './errors.ts'
import { type HeldLock, type Locker, lockFile, pause, tryLockFile } from './locks.ts'
import { readText } from './named-file.ts'
import type { StateRoot } from './root.ts'
import { DisposableScope } from './scope.ts'
import { emptyTrash, moveToTrash } from './trash.ts'

/**
 * What a running process keeps from garbage collection (features row K23): a blob, a layer with all that its record names,
 * a layer directory that has no record yet, or something of the caller's under a name of his own.
 */
export type Hold = `blob:${string}` | `layer:${string}` | `directory:${string}` | `record:${string}`

export const holdBlob = (digest: Digest): Hold => `blob:${digestHex(digest)}`
export const holdLayer = (diffId: DiffId): Hold => `layer:${digestHex(diffId)}`

/** What leases need of the kernel. */
export type LeaseKernel = Locker & Pick<Kernel, 'removeTree'>

/**
 * The gate orders two kinds of work: a process that starts or takes a hold passes it shared (microseconds), one that
 * decides what is garbage closes it. So what is held after a hold returned is either seen by the collector or gone already:
 * hold first, then look whether it is there.
 */
const GATE = 'gate'
const LEASE_LOCK = 'lease'
const HOLDS = 'holds'
const LEASE_NAME = /^[1-9][0-9]*-[0-9a-f]{16}$/

/** A process's stay in the state root: its directory for unfinished things, and what it holds. */
export class Lease implements AsyncDisposable {
  /** `work/<pid>-<random>`: removed with the lease, or by the next process when this one died. */
  readonly directory: string
  readonly #root: StateRoot
  readonly #kernel: LeaseKernel
  readonly #lock: AsyncDisposable
  readonly #holdsFd: number
  readonly #gateFd: number
  readonly #held = new Set<Hold>()
  readonly #counts = new Map<string, number>()
  #isOpen = true

  private constructor(
    root: StateRoot,
    kernel: LeaseKernel,
    parts: { readonly directory: string; readonly lock: AsyncDisposable },
  ) {
    this.#root = root
    this.#kernel = kernel
    this.directory = parts.directory
    this.#lock = parts.lock
    this.#holdsFd = openSync(join(parts.directory, HOLDS), 'a', 0o600)
    this.#gateFd = openSync(join(root.workDir, GATE), 'a', 0o600)
  }

  static async open(root: StateRoot, kernel: LeaseKernel, signal: AbortSignal): Promise<Lease> {
    await using scope = new DisposableScope()
    // A directory whose lock is not yet taken looks like a dead process's; the gate keeps others from looking.
    await using _gate = await passGate(root, kernel, 'shared', signal)
    const directory = join(root.workDir, `${process.pid}-${randomBytes(8).toString('hex')}`)
    await mkdir(directory, { mode: 0o700 })
    scope.defer(() => moveToTrash(root, directory))
    const lock = scope.use(
      await lockFile(
        kernel,
        join(directory, LEASE_LOCK),
        { mode: 'exclusive', removeAfter: false },
        signal,
      ),
    )
    const lease = new Lease(root, kernel, { directory, lock })
    scope.release()
    return lease
  }

  /** From the return of this call until the lease ends nothing of `names` is collected; whether it is there must be looked up after. */
  async hold(names: Iterable<Hold>, signal: AbortSignal): Promise<void> {
    const missing = [...names].filter((name) => !this.#held.has(name))
    if (missing.length === 0) return
    // Asked for every blob and layer of a build: without a collector this is three system calls.
    for (let waitMs = 1; !this.#tryHold(missing); waitMs = Math.min(waitMs * 2, 50)) {
      await pause(waitMs, signal)
    }
    for (const name of missing) this.#held.add(name)
  }

  #tryHold(names: readonly Hold[]): boolean {
    if (!this.#kernel.tryLock(this.#gateFd, 'shared')) return false
    try {
      writeSync(this.#holdsFd, `${names.join('\n')}\n`)
    } catch (error) {
      throw writeFailure('holds', join(this.directory, HOLDS), error)
    } finally {
      this.#kernel.unlock(this.#gateFd)
    }
    return true
  }

  /** A path in the lease's directory that nothing has yet; `kind` says in its name what it is going to be. */
  temporaryPath(kind = 't'): string {
    const count = (this.#counts.get(kind) ?? 0) + 1
    this.#counts.set(kind, count)
    return join(this.directory, `${kind}${count}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    closeSync(this.#holdsFd)
    closeSync(this.#gateFd)
    try {
      // By rename: a failure half-way leaves garbage in the trash, and no lease without a lock. The signal that ended
      // the process does not stop its cleaning up.
      const grave = await moveToTrash(this.#root, this.directory)
      if (grave !== undefined) await emptyTrash([grave], this.#kernel, new AbortController().signal)
    } finally {
      await this.#lock[Symbol.asyncDispose]()
    }
  }
}

/** Closes the gate: while it is held no process starts and no hold is taken. Keep it short: renames only, no removing. */
export async function closeGate(
  root: StateRoot,
  kernel: Locker,
  signal: AbortSignal,
): Promise<HeldLock> {
  return passGate(root, kernel, 'exclusive', signal)
}

/** Like `closeGate`, but undefined when somebody is passing it just now. */
export async function tryCloseGate(root: StateRoot, kernel: Locker): Promise<HeldLock | undefined> {
  return tryLockFile(kernel, join(root.workDir, GATE), { mode: 'exclusive', removeAfter: false })
}

async function passGate(
  root: StateRoot,
  kernel: Locker,
  mode: 'shared' | 'exclusive',
  signal: AbortSignal,
): Promise<HeldLock> {
  return lockFile(kernel, join(root.workDir, GATE), { mode, removeAfter: false }, signal)
}

export interface LeaseDirectory {
  readonly name: string
  readonly path: string
}

/** Every lease's directory in `work/`, of the living and the dead: one readdir. */
export async function listLeases(root: StateRoot): Promise<LeaseDirectory[]> {
  const names = await readdir(root.workDir)
  return names
    .filter((name) => LEASE_NAME.test(name))
    .map((name) => ({ name, path: join(root.workDir, name) }))
}

/** Whether a process still has it. Only to be trusted while the gate is closed. */
export async function isAlive(kernel: Locker, lease: LeaseDirectory): Promise<boolean> {
  try {
    const lock = await tryLockFile(kernel, join(lease.path, LEASE_LOCK), {
      mode: 'exclusive',
      removeAfter: false,
    })
    if (lock === undefined) return true
    await lock[Symbol.asyncDispose]()
    return false
  } catch (error) {
    // Disposed in this moment.
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}

/** What a lease holds; a line that a crash cut short is no hold. */
export async function readHolds(lease: LeaseDirectory): Promise<Hold[]> {
  let text: string
  try {
    text = await readText('holds', join(lease.path, HOLDS))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  }
  return text.split('\n').slice(0, -1).filter(isHold)
}

function isHold(text: string): text is Hold {
  return /^(blob|layer|directory|record):./.test(text)
}

/** Takes dead leases away (by rename, so the gate stays closed shortly); their holds are returned, the trees lie in the trash. */
export async function buryDeadLeases(root: StateRoot, kernel: Locker): Promise<Hold[]> {
  const holds: Hold[] = []
  for (const lease of await listLeases(root)) {
    if (await isAlive(kernel, lease)) continue
    holds.push(...(await readHolds(lease)))
    await moveToTrash(root, lease.path)
  }
  return holds
}
