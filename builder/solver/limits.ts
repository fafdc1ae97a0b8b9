import { availableParallelism } from 'node:os'
import pLimit, { type LimitFunction } from 'p-limit'

/**
 * How much of one kind of work may happen at a time in this process. Each limit belongs to one resource; work that
 * holds a slot never waits for another slot of the same limit.
 */
export interface Limits {
  /** RUN steps: their cost is the user's, not ours. */
  readonly run: LimitFunction
  /** Packing, unpacking, hashing: the addon uses the cores itself, so two at a time keep them busy. */
  readonly cpu: LimitFunction
  /** Downloads of base layers. */
  readonly network: LimitFunction
  /** Unpacking while downloading: it mostly waits for bytes, but each holds some megabytes of buffers. */
  readonly arrival: LimitFunction
}

export function createLimits(parallelStepsMax: number): Limits {
  return {
    run: pLimit(Math.max(1, parallelStepsMax)),
    cpu: pLimit(Math.max(2, availableParallelism())),
    network: pLimit(6),
    arrival: pLimit(6),
  }
}
