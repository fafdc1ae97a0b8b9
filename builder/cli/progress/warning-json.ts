import { createHash } from 'node:crypto'
import type { BuildEvent, StepId } from '../../events.ts'

type WarningEvent = Extract<BuildEvent, { type: 'warning' }>

/** Readers tell steps apart by a digest; ours is of number and title. */
export function vertexDigest(step: StepId, title: string): string {
  return `sha256:${createHash('sha256').update(`${step} ${title}`).digest('hex')}`
}

/** BuildKit's VertexWarning; `detail` are lines, `range` are lines of the Dockerfile. */
export function warningJson({ text, rule }: WarningEvent, vertex: string | undefined): object {
  const short = { vertex, level: 1, short: base64(text) }
  if (rule === undefined) {
    return short
  }
  const { description, url, range, source } = rule
  return {
    ...short,
    detail: [base64(description)],
    ...(url === '' ? {} : { url }),
    sourceInfo: { filename: source.name, data: base64(source.text), language: 'Dockerfile' },
    range: [{ start: { line: range.startLine }, end: { line: range.endLine } }],
  }
}

export function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

/** The warnings of a build, for its metadata (`buildx.build.warnings`). */
export class ToldWarnings {
  readonly #titles = new Map<StepId, string>()
  readonly #list: object[] = []

  handle(event: BuildEvent): void {
    if (event.type === 'step-started') {
      this.#titles.set(event.step, event.title)
    } else if (event.type === 'warning') {
      const { step = 0 } = event
      const title = this.#titles.get(step)
      const vertex = title === undefined ? undefined : vertexDigest(step, title)
      this.#list.push(warningJson(event, vertex))
    }
  }

  /** In the order in which they were told. */
  get list(): readonly object[] {
    return this.#list
  }
}
