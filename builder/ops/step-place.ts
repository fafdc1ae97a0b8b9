import type { Digest } from '../../registry-client/oci/index.ts'

/** Which step it is: for locks and for `explain`. */
export interface StepPlace {
  readonly definition: string
  readonly position: Digest
}
