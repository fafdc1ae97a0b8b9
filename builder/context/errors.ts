/**
 * Why a build context could not be used.
 *
 * - `bad-pattern`: a line of an ignore file, or a value of --exclude, that is no pattern
 * - `context-missing`: the directory, archive or subdirectory is not there or is something else
 * - `context-unreadable`: a file or directory of the context that cannot be read (`path` names it)
 * - `context-invalid`: input that is neither an archive nor a Dockerfile, or an archive that is broken
 * - `context-too-large`: a download or archive above its limit
 * - `dockerfile-missing`: no Dockerfile where it was looked for
 */
export type ContextErrorCode =
  | 'bad-pattern'
  | 'context-missing'
  | 'context-unreadable'
  | 'context-invalid'
  | 'context-too-large'
  | 'dockerfile-missing'

export interface ContextErrorDetails {
  readonly cause?: unknown
  readonly path?: string
}

/** A context that cannot be used; callers branch on `code`. */
export class ContextError extends Error {
  override readonly name = 'ContextError'
  readonly code: ContextErrorCode
  readonly path: string | undefined

  constructor(code: ContextErrorCode, message: string, details: ContextErrorDetails = {}) {
    super(message, { cause: details.cause })
    this.code = code
    this.path = details.path
  }
}
