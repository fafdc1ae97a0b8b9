import { getSystemErrorMap } from 'node:util'

export type StoreErrorCode =
  /** The state root was written by a later version of tsbuild. */
  | 'state-root-newer'
  /** The directory holds other things than a state root, or others could write to it. */
  | 'state-root-unusable'
  /** Bytes that came in are not those of the digest or size they were announced with. */
  | 'blob-mismatch'
  /** Bytes in the store are no longer those of their digest; the blob was removed. */
  | 'blob-corrupt'
  | 'blob-missing'
  | 'blob-too-large'
  /** A table of contents that is truncated, damaged or of another version. */
  | 'contents-damaged'
  /** A name that is not of the closed pattern that may become a path. */
  | 'name-invalid'

/** A failure of the state on disk. Messages say what could not be done and why, with the value. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: StoreErrorCode

  constructor(code: StoreErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** `code` of an error: the errno name of a failed system call (`ENOENT`), or what an error of ours has (`bad-archive`). */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/** Why something failed; of a system call in the system's words alone, as Node's message names call and path once more. */
export function reasonOf(error: unknown): string {
  const errno = error instanceof Error && 'errno' in error ? error.errno : undefined
  const known = typeof errno === 'number' ? getSystemErrorMap().get(errno)?.[1] : undefined
  return known ?? (error instanceof Error ? error.message : String(error))
}

/** A read or write that failed. `code` is the errno name, so that callers treat it like the system call's own error. */
class FileError extends Error {
  override readonly name = 'FileError'
  readonly code: string

  constructor(code: string, message: string, cause: unknown) {
    super(message, { cause })
    this.code = code
  }
}

/**
 * The error to throw when writing failed: it says what and where, which Node's own does not (`ENOSPC: no space left on device,
 * write`). What is no failed system call is returned as it is.
 */
export function writeFailure(what: string, path: string, cause: unknown): unknown {
  return fileFailure(`could not write ${what} to ${path}`, cause)
}

/** The same for reading. */
export function readFailure(what: string, path: string, cause: unknown): unknown {
  return fileFailure(`could not read ${what} from ${path}`, cause)
}

function fileFailure(doing: string, cause: unknown): unknown {
  const code = errnoOf(cause)
  if (code === undefined || !(cause instanceof Error) || !('syscall' in cause)) return cause
  return new FileError(code, `${doing}: ${cause.message}`, cause)
}
