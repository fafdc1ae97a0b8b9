import {
  type Descriptor,
  type DiffId,
  type ImageManifest,
  parseManifest,
} from '../../../registry-client/oci/index.ts'
import { compressionOf } from '../../image/manifest.ts'
import type { CacheKey } from '../../solver/cache-key.ts'
import type { RemoteBlob } from '../../solver/layer.ts'
import {
  CACHE_CONFIG,
  type CachedStep,
  type CacheDocument,
  decodeCacheDocument,
  INLINE_ANNOTATION,
} from './cache-document.ts'

/** Where the documents of a cache are: a registry, or an OCI layout. */
export interface CachePlace {
  /** For messages. */
  readonly name: string
  top(signal: AbortSignal): Promise<{ readonly bytes: Uint8Array; readonly mediaType: string }>
  /** A manifest or config, verified, of at most `DOCUMENT_BYTES_MAX`. */
  read(descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array>
  /** Where a layer can be fetched from. */
  blob(descriptor: Descriptor): RemoteBlob
}

/** What a cache offers; of the layers nothing is fetched yet. */
export interface LoadedCache {
  readonly steps: ReadonlyMap<CacheKey, CachedStep>
  readonly aliases: ReadonlyMap<CacheKey, CacheKey>
  readonly blobs: ReadonlyMap<DiffId, RemoteBlob>
}

/** Of what `CachePlace.read` gives: a config of ours is a few hundred bytes for each step. */
export const DOCUMENT_BYTES_MAX: number = 32 * 1024 * 1024
/** Platforms of an image with inline caches. */
const MANIFESTS_MAX = 16

/** Reads what a cache offers (features row K29). Throws what the place throws, or an Error that says why it is no cache. */
export async function loadCache(place: CachePlace, signal: AbortSignal): Promise<LoadedCache> {
  const steps = new Map<CacheKey, CachedStep>()
  const aliases = new Map<CacheKey, CacheKey>()
  const blobs = new Map<DiffId, RemoteBlob>()
  for (const manifest of await manifestsOf(place, signal)) {
    const document = await documentOf(manifest, place, signal)
    if (document.diffIds.length !== manifest.layers.length) {
      throw new Error('its layers and its list of them differ in number')
    }
    for (const [position, descriptor] of manifest.layers.entries()) {
      const diffId = document.diffIds[position]
      if (diffId !== undefined && compressionOf(descriptor.mediaType) !== undefined) {
        blobs.set(diffId, place.blob(descriptor))
      }
    }
    for (const step of document.steps) {
      steps.set(step.key, step)
    }
    for (const { alias, key } of document.aliases) {
      aliases.set(alias, key)
    }
  }
  return { steps, aliases, blobs }
}

async function manifestsOf(place: CachePlace, signal: AbortSignal): Promise<ImageManifest[]> {
  const { bytes, mediaType } = await place.top(signal)
  const parsed = parseManifest(bytes, mediaType)
  if (parsed.kind === 'manifest') {
    return [parsed.manifest]
  }
  const { manifests } = parsed.index
  refuseBuildKit(manifests)
  const found: ImageManifest[] = []
  for (const descriptor of manifests.slice(0, MANIFESTS_MAX)) {
    const child = parseManifest(await place.read(descriptor, signal), descriptor.mediaType)
    // Attestations and images of others stand beside ours.
    if (
      child.kind === 'manifest' &&
      child.manifest.annotations?.[INLINE_ANNOTATION] !== undefined
    ) {
      found.push(child.manifest)
    }
  }
  if (found.length === 0) {
    throw new Error(NO_CACHE)
  }
  return found
}

async function documentOf(
  manifest: ImageManifest,
  place: CachePlace,
  signal: AbortSignal,
): Promise<CacheDocument> {
  refuseBuildKit([manifest.config])
  if (manifest.config.mediaType === CACHE_CONFIG) {
    return decodeCacheDocument(Buffer.from(await place.read(manifest.config, signal)).toString())
  }
  const inline = manifest.annotations?.[INLINE_ANNOTATION]
  if (inline === undefined) {
    throw new Error(NO_CACHE)
  }
  return decodeCacheDocument(inline)
}

const NO_CACHE = 'it holds no cache of tsbuild'

function refuseBuildKit(descriptors: readonly Descriptor[]): void {
  if (descriptors.some(({ mediaType }) => mediaType.includes('buildkit.cacheconfig'))) {
    throw new Error("it is a cache of BuildKit, whose keys are not tsbuild's")
  }
}
