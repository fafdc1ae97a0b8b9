/**
 * Why the native addon failed: the name of an errno, or a rule of its own.
 * - `addon-missing`: it was not built, or not for this Node
 * - `bad-archive`: an archive is damaged, hostile or over a limit; `path` is the entry
 * - `bad-argument`: the caller's mistake
 * - `bad-entry`, `reserved-name`: no layer tar can hold this entry
 * - `bad-level`: no such compression level
 * - `codec-missing`: the library of a compression is not installed
 * - `content-changed`: a file changed while it was packed
 * - `not-a-file`: a regular file was wanted
 */
export type KernelErrorCode =
  | 'aborted'
  | 'addon-missing'
  | 'bad-archive'
  | 'bad-argument'
  | 'bad-entry'
  | 'bad-level'
  | 'codec-missing'
  | 'content-changed'
  | 'internal'
  | 'not-a-file'
  | 'reserved-name'
  | `E${string}`

interface KernelErrorDetails {
  readonly syscall?: string | undefined
  /** Positive, 0 when no system call failed. */
  readonly errno?: number | undefined
  /** What it was about, as the call named it (relative to its root, or a host path). */
  readonly path?: string | undefined
  readonly cause?: unknown
}

/** A call of the native addon that failed. */
export class KernelError extends Error {
  override readonly name = 'KernelError'
  readonly code: KernelErrorCode
  readonly syscall: string | undefined
  readonly errno: number
  readonly path: string | undefined

  constructor(code: KernelErrorCode, message: string, details: KernelErrorDetails = {}) {
    super(message, { cause: details.cause })
    this.code = code
    this.syscall = details.syscall
    this.errno = details.errno ?? 0
    this.path = details.path
  }
}
