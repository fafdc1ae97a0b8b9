/**
 * The command line itself is wrong: an unknown flag, a missing value, a value that cannot be read.
 * Leads to exit status 2, before anything was done.
 */
export class UsageError extends Error {
  override readonly name = 'UsageError'
  readonly code = 'usage'

  constructor(message: string, options?: { readonly cause: unknown }) {
    super(message, options)
  }
}

/** What a command could not do for a reason of its own, and what to do about it. Leads to exit status 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  readonly code: CommandErrorCode
  readonly hint: string | undefined

  constructor(
    code: CommandErrorCode,
    message: string,
    details: { hint?: string; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.hint = details.hint
  }
}

export type CommandErrorCode =
  | 'image-missing'
  | 'image-in-use'
  | 'context-missing'
  | 'context-unreadable'
  | 'destination-unusable'
  | 'archive-unreadable'
  | 'config-invalid'
  | 'engine-failed'
  | 'login-failed'
  | 'shell-missing'
  | 'step-missing'
  | 'not-supported'
  | 'platform-repeated'
