import type { BuildEventSink, StepId, StepOutcome } from '../events.ts'

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
  #next: StepId = 1

  constructor(sink: BuildEventSink, nowMs: () => number = () => performance.now()) {
    this.#sink = sink
    this.#nowMs = nowMs
    this.#startedMs = nowMs()
  }

  start(title: string): Step {
    const id = this.#next++
    let hasEnded = false
    this.#sink({ type: 'step-started', atMs: this.#atMs(), step: id, title })
    return {
      id,
      log: (stream, text) => {
        this.#sink({ type: 'step-log', atMs: this.#atMs(), step: id, stream, text })
      },
      progress: (part, { note, ...bytes }) => {
        const atMs = this.#atMs()
        this.#sink({ type: 'step-progress', atMs, step: id, part, ...bytes, note })
      },
      end: (outcome, error) => {
        if (hasEnded) {
          return
        }
        hasEnded = true
        this.#sink({ type: 'step-ended', atMs: this.#atMs(), step: id, outcome, error })
      },
    }
  }

  notice(text: string): void {
    this.#sink({ type: 'notice', atMs: this.#atMs(), text })
  }

  warning(text: string, step?: Step): void {
    this.#sink({ type: 'warning', atMs: this.#atMs(), text, step: step?.id })
  }

  #atMs(): number {
    return this.#nowMs() - this.#startedMs
  }
}
