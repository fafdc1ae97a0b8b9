import type { Range } from '../frontend/index.ts'
import type { DiffId } from '../registry-client/oci/index.ts'

/**
 * Why a build could not be done.
 *
 * - `step-failed`: a RUN ended with a non-zero status (`exitCode` and `outputTail` are set; a StepError says where)
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
  readonly exitCode?: number
  /** Last lines that the step printed. */
  readonly outputTail?: readonly string[]
  /** Of a RUN whose files may have been kept: its name for FailedStepKeeper. */
  readonly failedStep?: string
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

/**
 * A remote cache names a layer and does not hold it (`mode=min`), or what it gives is not that layer. While steps are
 * done, the build goes on as if the cache did not know it; `cause` is undefined when it was only named.
 */
export class CachedLayerUnavailable extends BuildError {
  readonly diffId: DiffId

  constructor(diffId: DiffId, title: string, cause?: Error) {
    super(
      'layer-missing',
      `could not use layer ${diffId} of ${JSON.stringify(title)} from the cache: ${cause?.message ?? 'it is only named there'}`,
      { cause },
    )
    this.diffId = diffId
  }
}

/** Where a step stands in the text that it came from. */
export interface StepLocation {
  /** Title of the step, as progress shows it. */
  readonly step: string
  readonly range: Range | undefined
  readonly dockerfile: { readonly name: string; readonly text: string }
}

/** What made a step fail is `cause` (a BuildError, CopyError, RegistryError ...), whose message this one has too. */
export class StepError extends Error {
  override readonly name = 'StepError'
  readonly code = 'step-error'
  readonly location: StepLocation
  override readonly cause: Error

  constructor(cause: Error, location: StepLocation) {
    super(cause.message)
    this.cause = cause
    this.location = location
  }
}
