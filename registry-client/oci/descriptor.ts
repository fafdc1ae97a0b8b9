import type { Digest } from './digest.ts'
import type { MediaType } from './media-type.ts'
import type { Platform } from './platform.ts'

/** Reference to content by type, digest and size (OCI image-spec, descriptor.md). */
export interface Descriptor {
  readonly mediaType: MediaType
  readonly digest: Digest
  /** `size` in JSON. */
  readonly sizeBytes: number
  readonly platform?: Platform
  readonly annotations?: Readonly<Record<string, string>>
  readonly urls?: readonly string[]
  readonly artifactType?: string
}
