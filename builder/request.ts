import type { Compression, Platform } from '../registry-client/oci/index.ts'
import type { ResourceLimits } from './worker/protocol.ts'

/** Everything that the command line says about one build, validated and defaulted; nothing is read from disk yet except secrets' existence. */
export interface BuildRequest {
  readonly context: ContextLocation
  readonly dockerfile: DockerfileLocation
  readonly target: string | undefined
  readonly buildArgs: ReadonlyMap<string, string>
  readonly namedContexts: ReadonlyMap<string, ContextLocation>
  /** Applied last, over every LABEL (features row D87). */
  readonly labels: ReadonlyMap<string, string>
  /** At least one; the machine's own when none was asked for. */
  readonly platforms: readonly Platform[]
  /** Those of `platforms` that were asked for again: not built again, but whoever asks for several gets an index. */
  readonly repeatedPlatforms: readonly Platform[]
  readonly isPlatformExplicit: boolean
  readonly noCache: boolean
  readonly noCacheFilter: readonly string[]
  readonly pull: boolean
  /** Normalised `host/repository:tag`. */
  readonly tags: readonly string[]
  readonly outputs: readonly OutputRequest[]
  readonly cacheFrom: readonly CacheImport[]
  readonly cacheTo: readonly CacheExport[]
  readonly secrets: readonly SecretSource[]
  readonly ssh: readonly { readonly id: string; readonly paths: readonly string[] }[]
  readonly network: 'default' | 'none' | 'host'
  readonly extraHosts: readonly { readonly name: string; readonly address: string }[]
  readonly ulimits: readonly {
    readonly name: string
    readonly soft: number
    readonly hard: number
  }[]
  readonly shmSizeBytes: number | undefined
  readonly cgroupParent: string | undefined
  /** Of each RUN step; no part of cache keys (features row C41). */
  readonly limits: ResourceLimits
  readonly allow: readonly string[]
  /** Default 2 per machine core: RUN steps that may run at once. */
  readonly parallelStepsMax: number
}

export type ContextLocation =
  | { readonly kind: 'none' }
  | { readonly kind: 'directory'; readonly path: string }
  /** Archive bytes from stdin or a downloaded URL, already on disk. */
  | { readonly kind: 'archive'; readonly path: string; readonly origin: string }
  | { readonly kind: 'git'; readonly url: string }
  | { readonly kind: 'http'; readonly url: string }
  | { readonly kind: 'image'; readonly reference: string }
  | { readonly kind: 'oci-layout'; readonly path: string; readonly reference: string | undefined }

export type DockerfileLocation =
  /** Relative paths are relative to the cwd; `isDefault`: `Dockerfile` then `dockerfile` in the context (features row D1). */
  | { readonly kind: 'path'; readonly path: string; readonly isDefault: boolean }
  | { readonly kind: 'text'; readonly text: string; readonly name: string }

export interface SecretSource {
  readonly id: string
  readonly source:
    | { readonly kind: 'file'; readonly path: string }
    | { readonly kind: 'env'; readonly name: string }
}

/** Where steps may come from (features rows C78-C80): a registry also means images with an inline cache. */
export type CacheImport =
  | { readonly type: 'registry'; readonly ref: string; readonly isInsecure: boolean }
  /** An OCI layout; `reference`: a tag or digest in it. */
  | { readonly type: 'local'; readonly src: string; readonly reference: string | undefined }
  /** A kind that only BuildKit has, such as `gha`: the build goes without it, and says so. */
  | { readonly type: 'unsupported'; readonly kind: string }

/** `mode`: the layers of the result (`min`), or of all steps (`max`). */
export type CacheExport =
  | {
      readonly type: 'registry'
      readonly ref: string
      readonly isInsecure: boolean
      readonly mode: 'min' | 'max'
      readonly format: LayerFormat
      readonly isErrorIgnored: boolean
    }
  | {
      readonly type: 'local'
      readonly dest: string
      readonly tag: string
      /** What else is at `dest` goes. */
      readonly isReset: boolean
      readonly mode: 'min' | 'max'
      readonly format: LayerFormat
      readonly isErrorIgnored: boolean
    }
  /** In the manifests of the images themselves. */
  | { readonly type: 'inline' }

export interface AnnotationRequest {
  readonly level: 'manifest' | 'index' | 'manifest-descriptor' | 'index-descriptor'
  readonly platform: string | undefined
  readonly key: string
  readonly value: string
}

/** How new layers are written (features rows C72, C73, C76). */
export interface LayerFormat {
  readonly compression: Compression
  readonly level: number | undefined
  readonly isForced: boolean
  readonly useOciMediaTypes: boolean
  readonly rewriteTimestamp: boolean
}

export type OutputRequest =
  | {
      readonly type: 'image'
      readonly names: readonly string[]
      readonly push: boolean
      readonly pushByDigest: boolean
      readonly store: boolean
      readonly isInsecure: boolean
      readonly format: LayerFormat
      readonly annotations: readonly AnnotationRequest[]
    }
  | {
      readonly type: 'oci' | 'docker'
      readonly dest: string | undefined
      readonly isTar: boolean
      readonly names: readonly string[]
      readonly format: LayerFormat
      readonly annotations: readonly AnnotationRequest[]
    }
  /** dest `-` = stdout. */
  | {
      readonly type: 'local' | 'tar'
      readonly dest: string
      readonly platformSplit: boolean | undefined
      /** `local` only: what is at `dest` and not in the result goes (`mode=delete`). */
      readonly isMirror?: boolean
    }
  | { readonly type: 'cacheonly' }
