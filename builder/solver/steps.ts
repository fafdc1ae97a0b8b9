import type { BrokenRule, BuildEventSink, StepId, StepOutcome } from '../events.ts'
import { LimitedLog, type LogLimits } from './log-limits.ts'

/** Reports one step to the progress printers: it starts once and ends once, whatever is called how often. */
export interface Step {
  readonly id: StepId
  log(stream: 'stdout' | 'stderr', text: string): void
  /** Bytes moved for a part of the step; `totalBytes` undefined: not known. */
  progress(part: string, bytes: StepBytes): void
  end(outcome: StepOutcome, error?: string): void
}

export interface StepBytes {
  readonly currentBytes: number
  readonly totalBytes: number | undefined
  readonly isDone: boolean
  readonly note?: string
}

/** The only place that numbers steps and stamps events with the time since the build began. */
export class StepReporter {
  readonly #sink: BuildEventSink
  readonly #nowMs: () => number
  readonly #startedMs: number
  readonly #logLimits: LogLimits
  #next: StepId = 1

  /** `logLimits`: how much of each stream of a step is passed on; all, when not given. */
  constructor(
    sink: BuildEventSink,
    nowMs: () => number = () => Number(process.hrtime.bigint()) / 1e6,
    logLimits: LogLimits = { sizeBytesMax: undefined, bytesPerSecMax: undefined },
  ) {
    this.#sink = sink
    this.#logLimits = logLimits
    this.#nowMs = nowMs
    this.#startedMs = nowMs()
  }

  start(title: string): Step {
    const id = this.#next++
    let hasEnded = false
    const startedMs = this.#nowMs()
    const logs = {
      stdout: new LimitedLog(this.#logLimits, startedMs),
      stderr: new LimitedLog(this.#logLimits, startedMs),
    }
    const tell = (stream: 'stdout' | 'stderr', text: string): void => {
      if (text !== '') {
        this.#sink({ type: 'step-log', atMs: this.#atMs(), step: id, stream, text })
      }
    }
    this.#sink({ type: 'step-started', atMs: this.#atMs(), step: id, title })
    return {
      id,
      log: (stream, text) => tell(stream, logs[stream].take(text, this.#nowMs())),
      progress: (part, { note, ...bytes }) => {
        const atMs = this.#atMs()
        this.#sink({ type: 'step-progress', atMs, step: id, part, ...bytes, note })
      },
      end: (outcome, error) => {
        if (hasEnded) {
          return
        }
        hasEnded = true
        if (outcome === 'failed') {
          // What went wrong is said last.
          tell('stdout', logs.stdout.clippedTail)
          tell('stderr', logs.stderr.clippedTail)
        }
        this.#sink({ type: 'step-ended', atMs: this.#atMs(), step: id, outcome, error })
      },
    }
  }

  /** Reports `work` as a step: done when it succeeds, canceled when `signal` broke it off, else failed. */
  async during<Value>(
    title: string,
    signal: AbortSignal,
    work: (step: Step) => Promise<Value>,
  ): Promise<Value> {
    const step = this.start(title)
    try {
      const value = await work(step)
      step.end('done')
      return value
    } catch (error) {
      // What fails after somebody else failed was interrupted, whatever it says.
      const reason = error instanceof Error ? error.message : String(error)
      step.end(signal.aborted ? 'canceled' : 'failed', reason)
      throw error
    }
  }

  notice(text: string): void {
    this.#sink({ type: 'notice', atMs: this.#atMs(), text })
  }

  warning(text: string, about: { readonly step?: Step; readonly rule?: BrokenRule } = {}): void {
    const { step, rule } = about
    const event = { type: 'warning', atMs: this.#atMs(), text, step: step?.id } as const
    this.#sink(rule === undefined ? event : { ...event, rule })
  }

  #atMs(): number {
    return this.#nowMs() - this.#startedMs
  }
}
