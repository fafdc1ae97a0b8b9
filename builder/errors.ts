import type { Range } from '../frontend/diagnostics.ts'

/**
 * Why a build could not be done.
 *
 * - `step-failed`: a RUN ended with a non-zero status (`exitCode`, `step`, `range`, `outputTail` are set)
 * - `context-missing`, `dockerfile-missing`, `dockerfile-invalid`: the inputs
 * - `image-missing`, `platform-missing`, `layout-invalid`, `reference-invalid`: base images
 * - `secret-missing`, `ssh-missing`: a mount that is required
 * - `entitlement-missing`: needs `--allow`
 * - `layer-missing`: a blob that the store or a registry was said to hold is gone
 * - `name-missing`, `name-ambiguous`, `name-invalid`: names in the image store
 * - `unsupported`: understood, but this version cannot do it
 * - `canceled`: the caller's signal, or another step that failed first
 */
export type BuildErrorCode =
  | 'step-failed'
  | 'context-missing'
  | 'dockerfile-missing'
  | 'dockerfile-invalid'
  | 'image-missing'
  | 'platform-missing'
  | 'layout-invalid'
  | 'reference-invalid'
  | 'secret-missing'
  | 'ssh-missing'
  | 'entitlement-missing'
  | 'layer-missing'
  | 'name-missing'
  | 'name-ambiguous'
  | 'name-invalid'
  | 'unsupported'
  | 'canceled'

export interface BuildErrorDetails {
  readonly cause?: unknown
  /** Title of the step, as progress shows it. */
  readonly step?: string
  /** The instruction, for the excerpt of the Dockerfile. */
  readonly range?: Range
  readonly exitCode?: number
  /** Last lines that the step printed. */
  readonly outputTail?: readonly string[]
}

/** The failure of a build; callers branch on `code`, never on the text. */
export class BuildError extends Error {
  override readonly name = 'BuildError'
  readonly code: BuildErrorCode
  readonly details: BuildErrorDetails

  constructor(code: BuildErrorCode, message: string, details: BuildErrorDetails = {}) {
    super(message, { cause: details.cause })
    this.code = code
    this.details = details
  }
}

/** A step that failed for a reason of its own keeps its error as `cause` and gains its place in the Dockerfile. */
export class StepError extends Error {
  override readonly name = 'StepError'
  readonly code = 'step-error'
  readonly step: string
  readonly range: Range | undefined

  constructor(error: Error, step: string, range: Range | undefined) {
    super(error.message, { cause: error })
    this.step = step
    this.range = range
  }
}
