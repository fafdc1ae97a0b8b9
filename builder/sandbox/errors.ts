/**
 * Why a process could not be run.
 *
 * - `sandbox-unavailable`: this machine or this container does not let us isolate a step; the message says what to change
 * - `sandbox-setup-failed`: a step of preparing the sandbox failed in the kernel (`step`, `errno`)
 * - `sandbox-user-unknown`: USER names nobody in the image's own /etc/passwd or /etc/group
 * - `sandbox-mount-invalid`: a mount's target or source is not what it has to be
 * - `sandbox-limit-unsupported`: a resource limit that this machine cannot enforce
 * - `sandbox-died`: the step's supervisor was killed
 * - `worker-died`: the process that holds the namespaces ended (`lastWords` is what it printed)
 */
export type SandboxErrorCode =
  | 'sandbox-unavailable'
  | 'sandbox-setup-failed'
  | 'sandbox-user-unknown'
  | 'sandbox-mount-invalid'
  | 'sandbox-limit-unsupported'
  | 'sandbox-died'
  | 'worker-died'

export interface SandboxErrorDetails {
  readonly cause?: unknown
  /** Name of the failing step of sandbox-init. */
  readonly step?: string
  readonly errno?: number
  readonly lastWords?: string
}

/** A failure of what is around a step, never of the step itself; callers branch on `code`. */
export class SandboxError extends Error {
  override readonly name = 'SandboxError'
  readonly code: SandboxErrorCode
  readonly details: SandboxErrorDetails

  constructor(code: SandboxErrorCode, message: string, details: SandboxErrorDetails = {}) {
    super(message, { cause: details.cause })
    this.code = code
    this.details = details
  }
}
