import type { BuildEvent, StepId, StepOutcome } from '../../events.ts'
import { LineSplitter } from './line-splitter.ts'
import type { WarningEvent } from './warnings.ts'

/** Bytes of output kept of a step, for the case that it fails. */
const LOG_LENGTH_MAX = 4 * 1024 * 1024

export interface BoardPart {
  readonly name: string
  readonly startedMs: number
  currentBytes: number
  totalBytes: number | undefined
  isDone: boolean
  note: string | undefined
}

export interface BoardStep {
  readonly id: StepId
  readonly title: string
  readonly startedMs: number
  endedMs: number | undefined
  outcome: StepOutcome | undefined
  error: string | undefined
  /** Complete lines of both streams; the oldest are dropped beyond a bound. */
  readonly log: string[]
  droppedLines: number
  readonly parts: Map<string, BoardPart>
}

/** What the live view knows: the state of every step, made from the events in order. */
export class StepBoard {
  readonly steps: Map<StepId, BoardStep> = new Map()
  readonly notices: string[] = []
  readonly warnings: WarningEvent[] = []
  readonly #splitters = new Map<
    BoardStep,
    { stdout: LineSplitter; stderr: LineSplitter; keptLength: number }
  >()

  handle(event: BuildEvent): void {
    switch (event.type) {
      case 'step-started':
        this.#start(event.step, event.title, event.atMs)
        return
      case 'notice':
        this.notices.push(event.text)
        return
      case 'warning':
        this.warnings.push(event)
        return
      case 'step-log':
        this.#log(event)
        return
      case 'step-progress':
        this.#progress(event)
        return
      case 'step-ended':
        this.#end(event)
        return
      default:
        event satisfies never
    }
  }

  get running(): BoardStep[] {
    return [...this.steps.values()].filter((step) => step.outcome === undefined)
  }

  /** The last lines of a running step, with the one that has no end yet (a progress bar). */
  lastLines(step: BoardStep, count: number): string[] {
    const splitters = this.#splitters.get(step)
    const open = [splitters?.stdout.pending ?? '', splitters?.stderr.pending ?? ''].filter(
      (line) => line !== '',
    )
    return [...step.log.slice(-count), ...open].slice(-count)
  }

  #start(id: StepId, title: string, atMs: number): void {
    const step: BoardStep = {
      id,
      title: title.replace(/\s*\n\s*/g, ' '),
      startedMs: atMs,
      endedMs: undefined,
      outcome: undefined,
      error: undefined,
      log: [],
      droppedLines: 0,
      parts: new Map(),
    }
    this.steps.set(id, step)
    this.#splitters.set(step, {
      stdout: new LineSplitter(),
      stderr: new LineSplitter(),
      keptLength: 0,
    })
  }

  #log(event: Extract<BuildEvent, { type: 'step-log' }>): void {
    const step = this.steps.get(event.step)
    const splitters = step === undefined ? undefined : this.#splitters.get(step)
    if (step !== undefined && splitters !== undefined) {
      this.#keep(step, splitters, splitters[event.stream].push(event.text))
    }
  }

  #keep(step: BoardStep, kept: { keptLength: number }, lines: readonly string[]): void {
    for (const line of lines) {
      step.log.push(line)
      kept.keptLength += line.length + 1
    }
    let excess = 0
    while (kept.keptLength > LOG_LENGTH_MAX) {
      kept.keptLength -= (step.log[excess]?.length ?? 0) + 1
      excess += 1
    }
    step.log.splice(0, excess)
    step.droppedLines += excess
  }

  #progress(event: Extract<BuildEvent, { type: 'step-progress' }>): void {
    const parts = this.steps.get(event.step)?.parts
    const { part: name, currentBytes, totalBytes, isDone, note } = event
    const part = parts?.get(name)
    if (part === undefined) {
      parts?.set(name, { name, startedMs: event.atMs, currentBytes, totalBytes, isDone, note })
    } else {
      Object.assign(part, { currentBytes, totalBytes, isDone, note })
    }
  }

  #end(event: Extract<BuildEvent, { type: 'step-ended' }>): void {
    const step = this.steps.get(event.step)
    const splitters = step === undefined ? undefined : this.#splitters.get(step)
    if (step === undefined || splitters === undefined) {
      return
    }
    const rest = [splitters.stdout.end(), splitters.stderr.end()].filter(
      (line) => line !== undefined,
    )
    this.#keep(step, splitters, rest)
    this.#splitters.delete(step)
    Object.assign(step, { endedMs: event.atMs, outcome: event.outcome, error: event.error })
    if (event.outcome !== 'failed') {
      // Only the log of a failure is shown again.
      step.log.length = 0
    }
  }
}
