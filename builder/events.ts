/**
 * Everything a progress printer, a log or a test needs to know about a build, in order. `atMs` is milliseconds since the
 * build began. A step (one node of the graph, or an internal action such as a push) starts once and ends once.
 */
export type StepId = number

export type StepOutcome = 'done' | 'cached' | 'failed' | 'canceled'

export type BuildEvent =
  | {
      readonly type: 'step-started'
      readonly atMs: number
      readonly step: StepId
      readonly title: string
    }
  /** Output of a RUN; `text` may end inside a line. */
  | {
      readonly type: 'step-log'
      readonly atMs: number
      readonly step: StepId
      readonly stream: 'stdout' | 'stderr'
      readonly text: string
    }
  /** Bytes moved for a part of a step (a layer pulled, pushed, exported). `totalBytes` undefined: not known. */
  | {
      readonly type: 'step-progress'
      readonly atMs: number
      readonly step: StepId
      readonly part: string
      readonly currentBytes: number
      readonly totalBytes: number | undefined
      readonly isDone: boolean
      /** e.g. `layer already exists`, `mounted from library/x`. */
      readonly note: string | undefined
    }
  | {
      readonly type: 'step-ended'
      readonly atMs: number
      readonly step: StepId
      readonly outcome: StepOutcome
      /** One line, for `failed`. */
      readonly error: string | undefined
    }
  | { readonly type: 'notice'; readonly atMs: number; readonly text: string }
  | {
      readonly type: 'warning'
      readonly atMs: number
      readonly text: string
      readonly step: StepId | undefined
      /** Of a finding in the Dockerfile. */
      readonly rule?: BrokenRule
    }

/** More about a finding than its one line says. */
export interface BrokenRule {
  readonly description: string
  /** Page about the rule; '' without one. */
  readonly url: string
  readonly range: { readonly startLine: number; readonly endLine: number }
  /** The lines of the Dockerfile, as errors show them. */
  readonly excerpt: string
  /** The whole Dockerfile. */
  readonly source: { readonly name: string; readonly text: string }
}

export type BuildEventSink = (event: BuildEvent) => void
