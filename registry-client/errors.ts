import { OciError } from './oci/index.ts'

/**
 * What went wrong, for callers to branch on. `isTemporary` says whether trying again later makes
 * sense.
 */
export type RegistryErrorCode =
  /** No connection, or it broke and stayed broken. */
  | 'registry-unreachable'
  | 'timeout'
  /** The certificate is not trusted; the message names the file to create. */
  | 'tls-untrusted'
  /** No TLS with this server: usually it speaks plain http. Or it wants TLS, and we did not. */
  | 'tls-failed'
  /** No credentials, or wrong ones. */
  | 'unauthorized'
  /** Known, but not allowed: permissions, quotas, policies. */
  | 'denied'
  | 'not-found'
  /** The tag exists and the registry does not let it change. */
  | 'tag-immutable'
  | 'rate-limited'
  /** A body is larger than we accept, or than the server does. */
  | 'too-large'
  | 'digest-mismatch'
  | 'size-mismatch'
  | 'bad-manifest'
  | 'bad-config'
  | 'no-platform-match'
  /** 5xx. */
  | 'server-failed'
  /**
   * An answer outside the protocol: an HTML page, a missing Location, a redirect we do not follow.
   */
  | 'bad-response'
  /** The operation is not offered by this registry. */
  | 'unsupported'
  /** A config file, certificate or credential helper on this machine is not usable. */
  | 'bad-configuration'

export interface RegistryErrorDetails {
  /** The host that answered, or did not. */
  readonly host?: string | undefined
  readonly status?: number | undefined
  /** `errors[0].code` of the registry's reply, e.g. `NAME_UNKNOWN`. */
  readonly registryCode?: string | undefined
  readonly isTemporary?: boolean | undefined
  /** What Retry-After asked for. */
  readonly retryAfterMs?: number | undefined
  readonly cause?: unknown
}

/**
 * A failed exchange with a registry. `message` is `could not <operation>: <reason>` once the
 * operation is known. It never holds credentials or query strings.
 */
export class RegistryError extends Error {
  override readonly name = 'RegistryError'
  readonly code: RegistryErrorCode
  readonly reason: string
  /**
   * What was being done, e.g. `pull 127.0.0.1:5000/app:v1`; undefined below the client's public
   * calls.
   */
  readonly operation: string | undefined
  readonly host: string | undefined
  readonly status: number | undefined
  readonly registryCode: string | undefined
  readonly isTemporary: boolean
  readonly retryAfterMs: number | undefined

  constructor(
    code: RegistryErrorCode,
    reason: string,
    details: RegistryErrorDetails = {},
    operation?: string,
  ) {
    super(operation === undefined ? reason : `could not ${operation}: ${reason}`, {
      cause: details.cause,
    })
    this.code = code
    this.reason = reason
    this.operation = operation
    this.host = details.host
    this.status = details.status
    this.registryCode = details.registryCode
    this.isTemporary = details.isTemporary ?? false
    this.retryAfterMs = details.retryAfterMs
  }
}

/** The same error with another reason and, if given, an operation. */
export function restated(error: RegistryError, reason: string, operation?: string): RegistryError {
  return new RegistryError(error.code, reason, error, operation ?? error.operation)
}

/** The same failure, which another try in another way may not meet. */
export function worthAnother(error: RegistryError): RegistryError {
  return new RegistryError(error.code, error.reason, {
    host: error.host,
    status: error.status,
    registryCode: error.registryCode,
    isTemporary: true,
    cause: error,
  })
}

/**
 * Runs `work`; what the registry client throws then says that it could not do `operation`. Other
 * errors pass unchanged.
 */
export async function inOperation<T>(
  operation: string,
  host: string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof RegistryError && error.operation === undefined) {
      throw restated(error, error.reason, operation)
    }
    if (
      error instanceof OciError &&
      error.code !== 'bad-reference' &&
      error.code !== 'bad-platform'
    ) {
      throw new RegistryError(
        error.code,
        `${host} sent what is not valid: ${error.message}`,
        { host, cause: error },
        operation,
      )
    }
    throw error
  }
}
