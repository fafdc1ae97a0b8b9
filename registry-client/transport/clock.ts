import { setTimeout as sleepFor } from 'node:timers/promises'

/** Time and chance, so that tests decide both. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Rejects with the signal's reason when it aborts. */
  sleep(durationMs: number, signal: AbortSignal): Promise<void>
  /** In [0, 1). */
  random(): number
}

export const systemClock: Clock = {
  now: () => Date.now(),
  async sleep(durationMs, signal) {
    signal.throwIfAborted()
    try {
      await sleepFor(durationMs, undefined, { signal })
    } catch (error) {
      signal.throwIfAborted()
      throw error
    }
  },
  random: () => Math.random(),
}
