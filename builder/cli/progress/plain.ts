import type { BuildEvent, StepId } from '../../events.ts'
import type { OutputStream } from '../command.ts'
import { formatAmount, formatBytes, formatLogTime, formatSeconds } from './format.ts'
import { LineSplitter } from './line-splitter.ts'
import type { ProgressPrinter } from './printer.ts'
import { neutralise } from './terminal-text.ts'
import { renderWarnings, type WarningEvent } from './warnings.ts'

/** Time between two lines about the bytes of one part; its end is always told. */
const PROGRESS_INTERVAL_MS = 5000
/** Parts that are done sooner than this get one line. */
const PROGRESS_DELAY_MS = 1000
/** A step that starts while another one is shown is announced after this time, unless it has something to tell before. */
const ANNOUNCE_DELAY_MS = 500

interface PlainStep {
  readonly number: number
  readonly title: string
  readonly startedMs: number
  readonly lines: { readonly stdout: LineSplitter; readonly stderr: LineSplitter }
  readonly parts: Map<string, { readonly startedMs: number; toldMs: number; isDone: boolean }>
  hasEnded: boolean
}

/**
 * Progress for CI logs, in BuildKit's format (features row C141): `#N title`, `#N 0.123 text`, `#N CACHED`, `#N DONE 1.2s`. Lines of
 * steps that run at the same time are grouped: `#N ...` leaves a step, its title comes again when it goes on. So that short steps
 * beside each other have one group each, a step does not interrupt another one by its start alone.
 */
export class PlainPrinter implements ProgressPrinter {
  readonly showsFailedLogs = false
  readonly #stream: OutputStream
  readonly #steps = new Map<StepId, PlainStep>()
  readonly #isDebug: boolean
  readonly #warnings: WarningEvent[] = []
  readonly #unannounced = new Set<PlainStep>()
  #announcement: NodeJS.Timeout | undefined
  #current: PlainStep | undefined

  constructor(stream: OutputStream, isDebug = false) {
    this.#stream = stream
    this.#isDebug = isDebug
  }

  handle(event: BuildEvent): void {
    switch (event.type) {
      case 'step-started':
        this.#start(event)
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
      case 'notice':
        this.#leave()
        this.#write(`NOTE: ${neutralise(event.text)}`)
        return
      case 'warning':
        this.#warn(event)
        return
      default:
        event satisfies never
    }
  }

  finish(): void {
    this.#announce()
    this.#leave()
    if (this.#warnings.length > 0) {
      // An empty line is there already.
      this.#stream.write(
        renderWarnings(this.#warnings, this.#isDebug).trimStart().replace(/^/, ' '),
      )
    }
  }

  #start(event: Extract<BuildEvent, { type: 'step-started' }>): void {
    const step: PlainStep = {
      number: this.#steps.size + 1,
      title: neutralise(event.title.replace(/\s*\n\s*/g, ' ')),
      startedMs: event.atMs,
      lines: { stdout: new LineSplitter(), stderr: new LineSplitter() },
      parts: new Map(),
      hasEnded: false,
    }
    this.#steps.set(event.step, step)
    const isQuiet = this.#current === undefined || this.#current.hasEnded
    // What has started before is to be heard of first: most likely its end comes next.
    if (isQuiet && this.#unannounced.size === 0) {
      this.#enter(step)
    } else {
      this.#unannounced.add(step)
      this.#announcement ??= setTimeout(() => this.#announce(), ANNOUNCE_DELAY_MS).unref()
    }
  }

  /** Tells of steps that have nothing to tell themselves: whoever waits wants to know for what. */
  #announce(): void {
    clearTimeout(this.#announcement)
    this.#announcement = undefined
    for (const step of this.#unannounced) this.#enter(step)
  }

  #log(event: Extract<BuildEvent, { type: 'step-log' }>): void {
    const step = this.#steps.get(event.step)
    if (step !== undefined) {
      this.#logLines(step, step.lines[event.stream].push(event.text), event.atMs)
    }
  }

  #logLines(step: PlainStep, lines: readonly string[], atMs: number): void {
    for (const line of lines) {
      this.#tell(step, `${formatLogTime(atMs - step.startedMs)} ${neutralise(line)}`)
    }
  }

  #progress(event: Extract<BuildEvent, { type: 'step-progress' }>): void {
    const step = this.#steps.get(event.step)
    // A transfer that ends after its step has failed is of no interest.
    if (step === undefined || step.hasEnded) {
      return
    }
    let part = step.parts.get(event.part)
    if (part === undefined) {
      part = {
        startedMs: event.atMs,
        toldMs: event.atMs + PROGRESS_DELAY_MS - PROGRESS_INTERVAL_MS,
        isDone: false,
      }
      step.parts.set(event.part, part)
    }
    if (part.isDone || (!event.isDone && event.atMs - part.toldMs < PROGRESS_INTERVAL_MS)) {
      return
    }
    part.toldMs = event.atMs
    part.isDone = event.isDone
    this.#tell(step, progressText(event, event.atMs - part.startedMs))
  }

  #end(event: Extract<BuildEvent, { type: 'step-ended' }>): void {
    const step = this.#steps.get(event.step)
    if (step === undefined) {
      return
    }
    for (const splitter of [step.lines.stdout, step.lines.stderr]) {
      const last = splitter.end()
      this.#logLines(step, last === undefined ? [] : [last], event.atMs)
    }
    this.#tell(step, outcomeText(event, event.atMs - step.startedMs))
    step.hasEnded = true
  }

  #warn(event: Extract<BuildEvent, { type: 'warning' }>): void {
    const step = event.step === undefined ? undefined : this.#steps.get(event.step)
    // The step that read the Dockerfile ended long ago.
    if (step === undefined || event.rule !== undefined) {
      this.#warnings.push(event)
    } else {
      this.#tell(step, `WARN: ${neutralise(event.text)}`)
    }
  }

  #tell(step: PlainStep, text: string): void {
    if (this.#current !== step) {
      this.#enter(step)
    }
    this.#write(`#${step.number} ${text}`)
  }

  #enter(step: PlainStep): void {
    this.#leave()
    this.#unannounced.delete(step)
    this.#current = step
    this.#write(`#${step.number} ${step.title}`)
  }

  /** Ends the group of the current step with an empty line. */
  #leave(): void {
    if (this.#current === undefined) {
      return
    }
    if (!this.#current.hasEnded) {
      this.#write(`#${this.#current.number} ...`)
    }
    this.#write('')
    this.#current = undefined
  }

  #write(line: string): void {
    this.#stream.write(`${line}\n`)
  }
}

function progressText(
  event: Extract<BuildEvent, { type: 'step-progress' }>,
  elapsedMs: number,
): string {
  const words = [neutralise(event.part)]
  if (event.currentBytes > 0 || event.totalBytes !== undefined) {
    words.push(formatAmount(event.currentBytes, event.totalBytes), formatSeconds(elapsedMs))
    if (elapsedMs >= PROGRESS_DELAY_MS) {
      words.push(`(${formatBytes((event.currentBytes * 1000) / elapsedMs)}/s)`)
    }
  }
  if (event.note !== undefined) {
    words.push(neutralise(event.note))
  }
  return event.isDone ? `${words.join(' ')} done` : words.join(' ')
}

function outcomeText(
  event: Extract<BuildEvent, { type: 'step-ended' }>,
  elapsedMs: number,
): string {
  switch (event.outcome) {
    case 'done':
      return `DONE ${formatSeconds(elapsedMs)}`
    case 'cached':
      return 'CACHED'
    case 'failed':
      return `ERROR: ${neutralise(event.error ?? 'failed')}`
    case 'canceled':
      return 'CANCELED'
    default:
      return event.outcome satisfies never
  }
}
