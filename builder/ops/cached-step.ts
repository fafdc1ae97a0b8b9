import type { Digest, DiffId } from '../../registry-client/oci/index.ts'
import type { NamedLocks, Store } from '../../snapshotter/index.ts'
import { explainMiss } from '../cache/explain.ts'
import { findStep, type FoundStep } from '../cache/find-step.ts'
import type { CacheJournal } from '../cache/journal.ts'
import type { CacheRecords, StepUsage } from '../cache/records.ts'
import type { RemoteCaches } from '../cache/remote/remote-caches.ts'
import { CachedLayerUnavailable } from '../errors.ts'
import { cacheKeyOf, type KeyInputs } from '../solver/cache-key.ts'
import { BuildLayer, type PackedLayer, type UnpackedLayer } from '../solver/layer.ts'
import type { Step, StepReporter } from '../solver/steps.ts'
import { withoutEpoch } from './timeless.ts'

/** A step that leaves one layer, as the cache sees it. */
export interface CacheableStep {
  readonly title: string
  /** Name of the lock that keeps other processes from doing the same. */
  readonly definition: string
  /** Where the step stands in its Dockerfile, for `explain`. */
  readonly position: Digest
  readonly ignoreCache: boolean
  /** Undefined: not known before the layers below are packed; then the step cannot have a record. */
  readonly inputs: KeyInputs | undefined
  /** The inputs, waiting for what is being packed. */
  finalInputs(): Promise<KeyInputs>
  /** The inputs as they would be over another parent; undefined where equal inputs give another layer each time (RUN). */
  readonly inputsOver?: (parent: string) => Promise<KeyInputs>
  /** Does the work. `packing` of the layer may still be under way when it resolves. */
  execute(step: Step, signal: AbortSignal): Promise<ExecutedStep>
}

export interface ExecutedStep {
  /** Set when the next step need not wait for the packing. */
  readonly unpacked: UnpackedLayer | undefined
  readonly packing: Promise<PackedLayer>
  /** What the step is still at, so that it is shown as running; undefined: it has done its work. */
  readonly unfinished?: Promise<unknown> | undefined
  /** Of the process; undefined when there was none. */
  readonly usage?: StepUsage
  /** Nothing in the layer has the time of SOURCE_DATE_EPOCH, or of the build: with another one it is the same. */
  readonly isTimeless?: boolean
}

export interface StepCacheParts {
  readonly records: CacheRecords
  readonly layers: Pick<Store['layers'], 'get'>
  readonly locks: Pick<NamedLocks, 'acquire'>
  readonly steps: StepReporter
  /** `--cache-from`. */
  readonly remote: RemoteCaches | undefined
  /** Whether a step may be taken from a remote cache that only names its layer. */
  readonly allowsNamesOnly: boolean
  readonly journal: CacheJournal
  /** Watches work that outlives its step (Scheduler.background). */
  readonly background: (work: Promise<unknown>) => void
}

/**
 * The way every step goes: look for a record; when there is none, wait for the lock of the step's definition, look
 * again (another process may have done it meanwhile: features rows K17, S14), and do the work. The record is written
 * when the layer is packed, and only then the lock is given back.
 */
export class StepCache {
  readonly #parts: StepCacheParts

  constructor(parts: StepCacheParts) {
    this.#parts = parts
  }

  async run(step: CacheableStep, signal: AbortSignal): Promise<BuildLayer> {
    const hit = await this.#lookUp(step, signal)
    if (hit !== undefined) {
      return hit
    }
    const lock = await this.#parts.locks.acquire(`step-${digestHexOf(step.definition)}`, signal)
    let isHandedOn = false
    try {
      const meanwhile = await this.#lookUp(step, signal)
      if (meanwhile !== undefined) {
        return meanwhile
      }
      const executed = await this.#execute(step, signal)
      const finished = this.#finish(step, executed, lock)
      isHandedOn = true
      this.#parts.background(finished)
      if (executed.unpacked !== undefined) {
        const likely = (): Promise<DiffId | undefined> => this.#likely(step)
        return BuildLayer.ofStep(step.title, executed.unpacked, finished, likely)
      }
      return BuildLayer.ofRecord(step.title, await finished)
    } finally {
      if (!isHandedOn) {
        await lock[Symbol.asyncDispose]()
      }
    }
  }

  async #lookUp(step: CacheableStep, signal: AbortSignal): Promise<BuildLayer | undefined> {
    const { title, inputs, ignoreCache } = step
    if (ignoreCache || inputs === undefined) {
      return undefined
    }
    const key = cacheKeyOf(inputs)
    const found =
      (await findStep(key, this.#parts, signal)) ?? (await this.#findTimeless(step, inputs, signal))
    if (found === undefined) {
      return undefined
    }
    const { diffId, createdAt } = found
    if (found.isForeign && found.place !== 'name') {
      // The next build finds it without the cache, once the layer has been fetched.
      await this.#parts.records.writeStep(key, { diffId, createdAt, title, inputs })
    }
    const layer =
      found.place === 'store'
        ? BuildLayer.ofRecord(title, { diffId, createdAt })
        : BuildLayer.ofCache(title, { diffId, createdAt }, found.blob)
    this.#parts.journal.step({ key, diffId, createdAt, inputs, layer })
    this.#parts.steps.start(title).end('cached')
    return layer
  }

  /** The step as it was done with another SOURCE_DATE_EPOCH, or none, when that made no difference. */
  async #findTimeless(
    { title }: CacheableStep,
    inputs: KeyInputs,
    signal: AbortSignal,
  ): Promise<FoundStep | undefined> {
    const { records } = this.#parts
    const timeless = withoutEpoch(inputs)
    const key = timeless && cacheKeyOf(timeless)
    if (key === undefined || (await records.readStep(key))?.isTimeless !== true) return undefined
    const found = await findStep(key, this.#parts, signal)
    if (found !== undefined) {
      // The next build finds it at once.
      const { diffId, createdAt } = found
      const record = { diffId, createdAt, title, inputs, isTimeless: true }
      await records.writeStep(cacheKeyOf(inputs), record)
    }
    return found
  }

  /** What the step gave when it was last done, if that was of the same files: over whatever lay below. */
  async #likely({ position, inputsOver }: CacheableStep): Promise<DiffId | undefined> {
    const { records } = this.#parts
    const before = inputsOver && (await records.readPosition(position))
    if (before === undefined || inputsOver === undefined) return undefined
    const key = cacheKeyOf(before)
    if (cacheKeyOf(await inputsOver(before.parent)) !== key) return undefined
    return (await records.readStep(key))?.diffId
  }

  async #execute(step: CacheableStep, signal: AbortSignal): Promise<ExecutedStep> {
    const reported = this.#parts.steps.start(step.title)
    try {
      await this.#sayWhy(step, reported)
      const executed = await step.execute(reported, signal)
      const { unfinished } = executed
      if (unfinished === undefined) reported.end('done')
      else {
        void unfinished.then(
          () => reported.end('done'),
          (error: unknown) => endFailed(reported, error, signal),
        )
      }
      return executed
    } catch (error) {
      endFailed(reported, error, signal)
      throw error
    }
  }

  async #sayWhy(step: CacheableStep, reported: Step): Promise<void> {
    const { inputs } = step
    if (inputs === undefined || step.ignoreCache) {
      return
    }
    const before = await this.#parts.records.readPosition(step.position)
    const reasons = before === undefined ? [] : explainMiss(before, inputs)
    if (reasons.length > 0) {
      reported.log('stderr', `not cached: ${reasons.join('; ')}\n`)
    }
  }

  /** Ends the step's lock, whatever becomes of the packing. */
  async #finish(
    step: CacheableStep,
    { packing, usage, isTimeless = false }: ExecutedStep,
    lock: AsyncDisposable,
  ): Promise<PackedLayer> {
    await using _lock = lock
    const packed = await packing
    const inputs = step.inputs ?? (await step.finalInputs())
    const { diffId, createdAt } = packed
    if (createdAt !== undefined) {
      const { title } = step
      const { journal, records } = this.#parts
      const key = cacheKeyOf(inputs)
      const layer = BuildLayer.ofRecord(title, { diffId, createdAt })
      journal.step({ key, diffId, createdAt, inputs, layer })
      const record = {
        ...{ diffId, createdAt, title, inputs },
        ...(usage === undefined ? {} : { usage }),
        ...(isTimeless ? { isTimeless } : {}),
      }
      const timeless = isTimeless ? withoutEpoch(inputs) : undefined
      await Promise.all([
        records.writeStep(key, record),
        records.writePosition(step.position, inputs),
        timeless && records.writeStep(cacheKeyOf(timeless), { ...record, inputs: timeless }),
      ])
    }
    return packed
  }
}

/** What fails after somebody else failed was interrupted, whatever it says; without the cached layer it begins again. */
function endFailed(reported: Step, error: unknown, signal: AbortSignal): void {
  reported.end(
    signal.aborted || error instanceof CachedLayerUnavailable ? 'canceled' : 'failed',
    error instanceof Error ? error.message : String(error),
  )
}

function digestHexOf(definition: string): string {
  return definition.replace(/^sha256:/, '')
}
