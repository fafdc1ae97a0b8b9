export type OciErrorCode =
  | 'bad-reference'
  | 'bad-platform'
  | 'bad-manifest'
  | 'bad-config'
  | 'no-platform-match'

/**
 * Text or bytes that are not what the OCI vocabulary allows. `message` is the exact reason, without
 * a "could not".
 */
export class OciError extends Error {
  override readonly name = 'OciError'
  readonly code: OciErrorCode

  constructor(code: OciErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}
