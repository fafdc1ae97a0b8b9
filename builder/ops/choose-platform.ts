import { type Descriptor, formatPlatform, normalizePlatform, type Platform } from '../../registry-client/oci/index.ts'
import { BuildError } from '../errors.ts'

/**
 * The manifest for a platform in an index: the same os and architecture, the same variant first, else one without a
 * variant or (ARM) the highest below the wanted one. Attestations are no images. Errors: `platform-missing`, which lists
 * what there is.
 */
export function choosePlatform(manifests: readonly Descriptor[], wanted: Platform, name: string): Descriptor {
  const images = manifests.filter((manifest) => !isAttestation(manifest))
  const exact = normalizePlatform(wanted)
  const candidates = images
    .map((manifest) => ({ manifest, rank: rankOf(manifest.platform, exact) }))
    .filter(({ rank }) => rank !== undefined)
    .sort((a, b) => (a.rank ?? 0) - (b.rank ?? 0))
  const [best] = candidates
  if (best === undefined) {
    const known = images.map(({ platform }) => (platform === undefined ? 'unknown' : formatPlatform(platform)))
    throw new BuildError(
      'platform-missing',
      `could not use image ${name}: it has no ${formatPlatform(exact)}, only ${known.join(', ') || 'no platform at all'}`,
    )
  }
  return best.manifest
}

function isAttestation(manifest: Descriptor): boolean {
  return manifest.annotations?.['vnd.docker.reference.type'] !== undefined || manifest.platform?.os === 'unknown'
}

/** 0 is the best; undefined does not run there. */
function rankOf(candidate: Platform | undefined, wanted: Platform): number | undefined {
  if (candidate === undefined) {
    // Old indexes name no platforms; the only thing to do is to take the image.
    return 1000
  }
  const { os, architecture, variant } = normalizePlatform(candidate)
  if (os !== wanted.os || architecture !== wanted.architecture) {
    return undefined
  }
  if (variant === wanted.variant) {
    return 0
  }
  const distance = variantNumber(wanted.variant) - variantNumber(variant)
  return distance > 0 ? distance : undefined
}

/** `v7` is 7, none is 0: every processor runs code for lower variants of its architecture. */
function variantNumber(variant: string | undefined): number {
  const digits = /^v(\d+)/.exec(variant ?? '')?.[1]
  return digits === undefined ? 0 : Number(digits)
}
