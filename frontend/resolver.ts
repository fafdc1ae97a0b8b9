import type { GitNode, GraphPlatform, HttpNode } from './graph.ts'
import type { StageImageConfig } from './image-config.ts'

/** An image whose manifest was chosen. */
export interface ResolvedImage {
  /** Full name, with the digest when the resolver knows it: progress and ImageNode show it. */
  readonly reference: string
  /** Opaque handle that leads the builder to exactly this manifest. */
  readonly resolved: string
  /** The image's config as it is stored (unknown keys included). The frontend does not change it. */
  readonly config: StageImageConfig
}

/** What a named context is (features row D61). */
export type ResolvedContext =
  | { readonly kind: 'image'; readonly image: ResolvedImage }
  /** A directory, archive, git checkout ...: files without an image config. */
  | { readonly kind: 'tree' }
  | { readonly kind: 'scratch' }

/** Something with a time of its own: the commit's, `Last-Modified`, or the newest file of an archive (features row D48). */
export type EpochSource =
  /** `context` is the main one. */
  | { readonly kind: 'context'; readonly name: string }
  | Omit<HttpNode, 'id' | 'origin'>
  | Omit<GitNode, 'id' | 'origin'>

/** How the frontend, which touches nothing itself, learns about images. Failures reject; they reach the user with the line. */
export interface ImageResolver {
  /** `reference` is complete (`docker.io/library/alpine:3.20`). Called at most once per reference and platform. */
  resolveImage(
    reference: string,
    platform: GraphPlatform,
    signal: AbortSignal,
  ): Promise<ResolvedImage>
  /** `name` is one of the names in `ConvertOptions.namedContexts`. */
  resolveContext(
    name: string,
    platform: GraphPlatform,
    signal: AbortSignal,
  ): Promise<ResolvedContext>
  /** Seconds; undefined where the source has no time (a directory). Without it SOURCE_DATE_EPOCH knows numbers only. */
  resolveEpoch?(source: EpochSource, signal: AbortSignal): Promise<number | undefined>
}
