import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, moveToTrash, type Store, writeText } from '../../snapshotter/index.ts'
import { type FailedStep, readFailedStep, writeFailedStep } from './failed-step.ts'

/** Enough to look at the failure before the last one, and at both of two builds that ran side by side. */
export const FAILED_STEPS_MAX = 3
/** Nobody looks into yesterday's failure; what its command wrote may be gigabytes. */
const FAILED_STEP_AGE_MS_MAX = 24 * 60 * 60 * 1000
/** Older ones than the last must not add up to more than a base image or two. */
const FAILED_STEPS_BYTES_MAX = 1024 * 1024 * 1024
/** On a disk that is fuller than this what failed is thrown away, unless it was asked for. */
const FREE_FRACTION_MIN = 0.05

const ID = /^[0-9a-f]{8}$/
const STEP_FILE = 'step.json'
const LAYER = 'layer'

export type FailedStore = Pick<Store, 'root' | 'lease' | 'locks' | 'durability'>

/** A failed step on disk; `step` undefined: its files are not to be trusted, and it is garbage. */
export interface KeptStep {
  readonly id: string
  /** Everything that is kept of it. */
  readonly path: string
  readonly step: FailedStep | undefined
}

/** The name under which a lease holds it from the collector of garbage. */
export function failedRecordName(id: string): string {
  return `failed-${id}`
}

/** Where the layer is that the command wrote. */
function failedLayer(path: string): string {
  return join(path, LAYER)
}

/**
 * What failed RUNs left, one directory each below `failed/`: the last few, for a day, for `tsbuild shell`. One appears
 * whole, by rename; a shell in it holds a lock that keeps it from being taken away.
 */
export class FailedSteps {
  readonly #store: FailedStore
  readonly #directory: string
  readonly #nowMs: () => number

  constructor(store: FailedStore, nowMs: () => number = Date.now) {
    this.#store = store
    this.#directory = join(store.root.path, 'failed')
    this.#nowMs = nowMs
  }

  /** The newest first; what cannot be used any more is last. */
  async list(): Promise<KeptStep[]> {
    const names = await readdir(this.#directory).catch((error: unknown) => {
      if (isAbsent(error)) return []
      throw error
    })
    const kept = await Promise.all(
      names.filter((name) => ID.test(name)).map((id) => this.#read(id)),
    )
    return kept.sort((a, b) => failedAtMs(b) - failedAtMs(a))
  }

  /** Whether the disk has room for what failed. */
  async hasRoom(): Promise<boolean> {
    const { bavail, blocks } = await statfs(this.#store.root.path)
    return bavail >= blocks * FREE_FRACTION_MIN
  }

  /** Keeps a step whose command wrote the layer directory `layer`, which lies in the lease. */
  async add(step: FailedStep, layer: string): Promise<void> {
    const prepared = this.#store.lease.temporaryPath()
    await mkdir(prepared, { mode: 0o700 })
    await rename(layer, failedLayer(prepared))
    const text = writeFailedStep(step, this.#store.durability.stamp())
    await writeText('a failed step', join(prepared, STEP_FILE), text, { mode: 0o600 })
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    await rename(prepared, join(this.#directory, step.id))
  }

  /** Takes away what is too many, too large or too old, unless somebody is in it; returns where it lies now, to be removed. */
  async expire(): Promise<string[]> {
    const oldest = this.#nowMs() - FAILED_STEP_AGE_MS_MAX
    const graves: string[] = []
    let sizeBytes = 0
    for (const [index, kept] of (await this.list()).entries()) {
      sizeBytes += kept.step?.sizeBytes ?? 0
      const fits = index === 0 || (index < FAILED_STEPS_MAX && sizeBytes <= FAILED_STEPS_BYTES_MAX)
      if (fits && failedAtMs(kept) > oldest) continue
      await using lock = await this.#store.locks.tryAcquire(failedRecordName(kept.id))
      const grave = lock === undefined ? undefined : await moveToTrash(this.#store.root, kept.path)
      if (grave !== undefined) graves.push(grave)
    }
    return graves
  }

  /**
   * The step whose id begins so, the last one that failed when none is given; undefined when there is none. Until the
   * result is disposed neither a failing build nor `prune` takes it away.
   */
  async open(
    id: string | undefined,
    signal: AbortSignal,
  ): Promise<
    ({ readonly step: FailedStep; readonly layer: string } & AsyncDisposable) | undefined
  > {
    for (const kept of await this.list()) {
      if (id !== undefined && !kept.id.startsWith(id)) continue
      const name = failedRecordName(kept.id)
      const lock = await this.#store.locks.acquire(name, signal, 'shared')
      await this.#store.lease.hold([`record:${name}`], signal)
      // It may have gone before it was held.
      const { step, path } = await this.#read(kept.id)
      if (step !== undefined) {
        return {
          step,
          layer: failedLayer(path),
          [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose](),
        }
      }
      await lock[Symbol.asyncDispose]()
    }
    return undefined
  }

  async #read(id: string): Promise<KeptStep> {
    const path = join(this.#directory, id)
    const text = await readFile(join(path, STEP_FILE), 'utf8').catch((error: unknown) => {
      // What the disk does not give is not to be trusted either; every build looks at all of them.
      if (isAbsent(error) || errnoOf(error) === 'EIO') return ''
      throw error
    })
    const step = readFailedStep(text, (stamp) => this.#store.durability.isTrusted(stamp))
    return { id, path, step }
  }
}

/** A name that is easily typed, and free of what a shell or a path could misunderstand. */
export function newFailedId(): string {
  return randomBytes(4).toString('hex')
}

function failedAtMs({ step }: KeptStep): number {
  return step === undefined ? 0 : Date.parse(step.failedAt)
}

function isAbsent(error: unknown): boolean {
  return errnoOf(error) === 'ENOENT'
}
