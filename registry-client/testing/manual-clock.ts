import type { Clock } from '../transport/clock.ts'

/** A clock whose sleeps take no time and are remembered; chance is always `randomValue`. */
export class ManualClock implements Clock {
  readonly sleptMs: number[] = []
  nowMs: number = Date.UTC(2026, 0, 1)
  randomValue: number = 0

  now(): number {
    return this.nowMs
  }

  async sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.sleptMs.push(durationMs)
    this.nowMs += durationMs
  }

  random(): number {
    return this.randomValue
  }
}
