import type { BuildEvent, StepId } from '../../events.ts'
import type { OutputStream } from '../command.ts'
import type { ProgressPrinter } from './printer.ts'
import { base64, vertexDigest, warningJson } from './warning-json.ts'

interface Vertex {
  readonly digest: string
  readonly name: string
  readonly started: string
}

/**
 * One JSON object per event with the field names of BuildKit's SolveStatus (features row C142): `vertexes`, `statuses`,
 * `logs` with base64 data, `warnings`. For programs that read BuildKit's progress already.
 */
export class RawJsonPrinter implements ProgressPrinter {
  readonly showsFailedLogs = false
  readonly #stream: OutputStream
  readonly #startedMs: number
  readonly #vertexes = new Map<StepId, Vertex>()
  readonly #partStarts = new Map<string, string>()

  /** `startedMs` is the wall clock at the time 0 of the events. */
  constructor(stream: OutputStream, startedMs: number = Date.now()) {
    this.#stream = stream
    this.#startedMs = startedMs
  }

  handle(event: BuildEvent): void {
    this.#stream.write(`${JSON.stringify(this.#status(event))}\n`)
  }

  finish(): void {}

  #status(event: BuildEvent): Record<string, unknown> {
    const timestamp = new Date(this.#startedMs + event.atMs).toISOString()
    switch (event.type) {
      case 'step-started': {
        const vertex = {
          digest: vertexDigest(event.step, event.title),
          name: event.title,
          started: timestamp,
        }
        this.#vertexes.set(event.step, vertex)
        return { vertexes: [vertex] }
      }
      case 'step-ended': {
        const vertex: Record<string, unknown> = {
          ...this.#vertexes.get(event.step),
          completed: timestamp,
        }
        if (event.outcome === 'cached') {
          vertex['cached'] = true
        }
        if (event.outcome === 'failed' || event.outcome === 'canceled') {
          vertex['error'] = event.error ?? 'context canceled'
        }
        return { vertexes: [vertex] }
      }
      case 'step-log':
        return { logs: [this.#log(event, timestamp)] }
      case 'step-progress':
        return { statuses: [this.#progress(event, timestamp)] }
      case 'notice':
        return { warnings: [{ level: 0, short: base64(event.text) }] }
      case 'warning':
        return { warnings: [warningJson(event, this.#digest(event.step))] }
      default:
        return event satisfies never
    }
  }

  #log(event: Extract<BuildEvent, { type: 'step-log' }>, timestamp: string): object {
    const stream = event.stream === 'stdout' ? 1 : 2
    return { vertex: this.#digest(event.step), stream, data: base64(event.text), timestamp }
  }

  #progress(event: Extract<BuildEvent, { type: 'step-progress' }>, timestamp: string): object {
    const key = `${event.step} ${event.part}`
    const started = this.#partStarts.get(key) ?? timestamp
    this.#partStarts.set(key, started)
    return {
      id: event.part,
      vertex: this.#digest(event.step),
      ...(event.note === undefined ? {} : { name: event.note }),
      ...(event.totalBytes === undefined ? {} : { total: event.totalBytes }),
      current: event.currentBytes,
      timestamp,
      started,
      ...(event.isDone ? { completed: timestamp } : {}),
    }
  }

  #digest(step: StepId | undefined): string | undefined {
    return step === undefined ? undefined : this.#vertexes.get(step)?.digest
  }
}
