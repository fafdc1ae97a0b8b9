import type { Range } from './diagnostics.ts'
import type { Warning } from './rules/rule.ts'

/**
 * What is wrong with a Dockerfile (or with what was asked of it). Callers branch on the code, never on the text.
 *
 * - `syntax`: the text cannot be read (line too long, unterminated heredoc, bad directive ...)
 * - `unknown-instruction`, `bad-flag`, `bad-argument`: one instruction is wrong
 * - `expansion`: a `$variable` form is wrong or a required variable is missing
 * - `no-stage`: an instruction before the first FROM, or no FROM at all
 * - `stage-order`, `circular-stage`: a stage is used before it exists, or needs itself
 * - `unknown-target`: `--target` names no stage
 * - `bad-reference`: an image name that cannot be one
 * - `base-unresolved`: the resolver failed (its error is the cause)
 * - `unsupported`: valid elsewhere, not in this builder
 * - `lint-violation`: `# check=error=true` and a rule was hit
 */
export type DockerfileErrorCode =
  | 'syntax'
  | 'unknown-instruction'
  | 'bad-flag'
  | 'bad-argument'
  | 'expansion'
  | 'no-stage'
  | 'stage-order'
  | 'circular-stage'
  | 'unknown-target'
  | 'bad-reference'
  | 'base-unresolved'
  | 'unsupported'
  | 'lint-violation'

export interface DockerfileErrorDetails {
  /** Undefined when the fault is not in the text (an unknown target). */
  readonly range: Range | undefined
  /** Another place that explains the first, e.g. where the stage is defined. */
  readonly related?: { readonly range: Range; readonly label: string } | undefined
  /** What was probably meant. */
  readonly suggestion?: string | undefined
  /** The piece of the instruction's text that is at fault; `renderErrors` puts the caret there. */
  readonly focus?: string | undefined
  readonly cause?: unknown
}

/** One fault, with its place. */
export class DockerfileError extends Error {
  override readonly name = 'DockerfileError'
  readonly code: DockerfileErrorCode
  readonly range: Range | undefined
  readonly related: { readonly range: Range; readonly label: string } | undefined
  readonly suggestion: string | undefined
  readonly focus: string | undefined

  constructor(code: DockerfileErrorCode, message: string, details: DockerfileErrorDetails) {
    const hint = details.suggestion === undefined ? '' : ` (did you mean ${details.suggestion}?)`
    super(message + hint, { cause: details.cause })
    this.code = code
    this.range = details.range
    this.related = details.related
    this.suggestion = details.suggestion
    this.focus = details.focus
  }
}

/** Everything wrong that was found in one file; `list` is never empty and in the order of the text. */
export class DockerfileErrors extends Error {
  override readonly name = 'DockerfileErrors'
  readonly list: readonly DockerfileError[]
  /** Name of the file, as messages show it. */
  readonly fileName: string
  readonly source: string
  /** What the lint rules found until then (features row L23). */
  readonly warnings: readonly Warning[]

  constructor(
    list: readonly DockerfileError[],
    fileName: string,
    source: string,
    warnings: readonly Warning[] = [],
  ) {
    super(list.map((error) => error.message).join('\n'), { cause: list[0]?.cause })
    this.list = list
    this.fileName = fileName
    this.source = source
    this.warnings = warnings
  }
}
