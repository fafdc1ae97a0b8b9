import { RegistryError } from '../errors.ts'
import type { HostClient } from '../host-client.ts'
import type { PullPlace, PullPlaces } from '../hosts/pull-places.ts'
import {
  bestPlatform,
  type Descriptor,
  type Digest,
  formatPlatform,
  type ImageIndex,
  type ImageManifest,
  isIndexType,
  type ManifestBytes,
  normalizePlatform,
  type Platform,
  parseManifest,
  type Reference,
} from '../oci/index.ts'
import { type FetchedManifest, getManifest, headManifest, type ManifestTarget } from './manifest.ts'

/** An index inside an index inside an index is a trap, not an image. */
export const INDEX_DEPTH_MAX: number = 4

/** What a reference means for one platform. */
export interface ResolvedImage {
  /** The reference with the digest of `top`: what to name to get exactly this again. */
  readonly reference: Reference
  /** What the name points to: an index, or the image manifest itself. */
  readonly top: ManifestBytes
  readonly descriptor: Descriptor
  /** The image manifest for the platform. */
  readonly manifest: ManifestBytes
  readonly image: ImageManifest
  /** As the index says; undefined when there is no index, and only the config knows. */
  readonly platform: Platform | undefined
}

export interface ResolveOptions {
  readonly platform: Platform
  readonly signal: AbortSignal
  /**
   * Manifests that are at hand: when it has the one that a tag points to now, only a HEAD is sent.
   */
  readonly readManifest?: (digest: Digest) => Promise<Uint8Array | undefined>
}

/**
 * The image manifest that `reference` means for a platform (features rows R31 to R33). Throws
 * RegistryError: `not-found`, `no-platform-match` naming what there is, `digest-mismatch`,
 * `bad-manifest`.
 */
export async function resolve(
  host: HostClient,
  reference: Reference,
  options: ResolveOptions,
): Promise<ResolvedImage> {
  const top = await fetchTop(host, reference, options)
  const pinned = { ...reference, digest: top.digest }
  let current: FetchedManifest = top
  let platform: Platform | undefined
  for (let depth = 0; current.parsed.kind === 'index'; depth += 1) {
    if (depth === INDEX_DEPTH_MAX) throw indexTooDeep()
    const chosen = choose(current.parsed.index, options.platform)
    platform = chosen.platform
    current = await fetchByDigest(host, reference.repository, chosen, options)
  }
  const { mediaType, digest, bytes } = current
  return {
    reference: pinned,
    top: { mediaType: top.mediaType, digest: top.digest, bytes: top.bytes },
    descriptor: {
      mediaType,
      digest,
      sizeBytes: bytes.byteLength,
      ...(platform === undefined ? {} : { platform }),
    },
    manifest: { mediaType, digest, bytes },
    image: current.parsed.manifest,
    platform: platform === undefined ? undefined : normalizePlatform(platform),
  }
}

export function indexTooDeep(): RegistryError {
  const reason = `indexes are nested more than ${INDEX_DEPTH_MAX} levels deep`
  return new RegistryError('bad-manifest', reason)
}

/**
 * Descriptor of what a reference points to now, without reading more than needed; undefined when
 * there is no such manifest in any of its places.
 */
export async function head(
  places: PullPlaces,
  signal: AbortSignal,
): Promise<Descriptor | undefined> {
  try {
    return await places((place) => headAt(place, signal))
  } catch (error) {
    if (error instanceof RegistryError && error.code === 'not-found') return undefined
    throw error
  }
}

/** That a mirror does not have it makes the next place be asked. */
async function headAt({ host, reference }: PullPlace, signal: AbortSignal): Promise<Descriptor> {
  const target = targetOf(reference)
  const found = await headManifest(host, target, signal)
  if (found === undefined) {
    const { registry } = reference
    throw new RegistryError('not-found', `${registry} has no such manifest`, { host: registry })
  }
  if (found !== 'unknown') return found
  const { mediaType, digest, bytes } = await getManifest(host, target, { signal })
  return { mediaType, digest, sizeBytes: bytes.byteLength }
}

/**
 * The manifest or index that `reference` names, whole; from `readManifest` when it has the one that
 * the name points to now.
 */
export async function fetchTop(
  host: HostClient,
  reference: Reference,
  options: Pick<ResolveOptions, 'signal' | 'readManifest'>,
): Promise<FetchedManifest> {
  const target = targetOf(reference)
  if (options.readManifest !== undefined) {
    const digest = reference.digest ?? (await headDigest(host, target, options.signal))
    const known = digest === undefined ? undefined : await readKnown(digest, undefined, options)
    if (known !== undefined) return known
    if (digest !== undefined)
      return getManifest(host, { ...target, tagOrDigest: digest }, { signal: options.signal })
  }
  return getManifest(host, target, { signal: options.signal })
}

async function headDigest(
  host: HostClient,
  target: ManifestTarget,
  signal: AbortSignal,
): Promise<Digest | undefined> {
  const found = await headManifest(host, target, signal)
  // A GET of what is not there gives the error with the registry's own words.
  return found === 'unknown' || found === undefined ? undefined : found.digest
}

async function fetchByDigest(
  host: HostClient,
  repository: string,
  descriptor: Descriptor,
  options: ResolveOptions,
): Promise<FetchedManifest> {
  const known = await readKnown(descriptor.digest, descriptor.mediaType, options)
  if (known !== undefined) return known
  const target = { repository, tagOrDigest: descriptor.digest }
  return getManifest(host, target, { declaredType: descriptor.mediaType, signal: options.signal })
}

async function readKnown(
  digest: Digest,
  declaredType: string | undefined,
  options: Pick<ResolveOptions, 'readManifest'>,
): Promise<FetchedManifest | undefined> {
  const bytes = await options.readManifest?.(digest)
  if (bytes === undefined) return undefined
  const parsed = parseManifest(bytes, declaredType)
  const mediaType = parsed.kind === 'index' ? parsed.index.mediaType : parsed.manifest.mediaType
  return { mediaType, digest, bytes, parsed }
}

/** The entry of an index for a platform; throws RegistryError `no-platform-match`. */
export function choose(index: ImageIndex, platform: Platform): Descriptor {
  // Attestations stand in the index as unknown/unknown and are no images; entries without a
  // platform are taken as a last resort.
  const images = index.manifests.filter(
    (entry) => entry.platform?.os !== 'unknown' && !isAttestation(entry),
  )
  const chosen = bestPlatform(platform, images)
  if (chosen !== undefined) return chosen
  const unnamed = images.filter((entry) => entry.platform === undefined)
  const [only] = unnamed
  if (
    only !== undefined &&
    (images.length === 1 || (unnamed.length === 1 && isIndexType(only.mediaType)))
  )
    return only
  const offered = [
    ...new Set(images.flatMap((entry) => (entry.platform ? [formatPlatform(entry.platform)] : []))),
  ]
  const list =
    offered.length === 0 ? 'it has no images' : `it has ${offered.slice(0, 20).join(', ')}`
  throw new RegistryError(
    'no-platform-match',
    `no match for platform ${formatPlatform(platform)} in manifest: ${list}`,
  )
}

function isAttestation(entry: Descriptor): boolean {
  return entry.annotations?.['vnd.docker.reference.type'] === 'attestation-manifest'
}

/** A digest decides over a tag (features row D140). */
function targetOf(reference: Reference): ManifestTarget {
  return {
    repository: reference.repository,
    tagOrDigest: reference.digest ?? reference.tag ?? 'latest',
  }
}
