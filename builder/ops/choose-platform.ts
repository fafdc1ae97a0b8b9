import {
  bestPlatform,
  type Descriptor,
  formatPlatform,
  type Platform,
} from '../../registry-client/oci/index.ts'
import { BuildError } from '../errors.ts'

/**
 * The manifest for a platform in an index. Attestations are no images; an index that names no platforms at all gives its
 * first image. Errors: `platform-missing`, which lists what there is.
 */
export function choosePlatform(
  manifests: readonly Descriptor[],
  wanted: Platform,
  name: string,
): Descriptor {
  const images = manifests.filter((manifest) => !isAttestation(manifest))
  const unnamed = images.every((manifest) => manifest.platform === undefined)
    ? images[0]
    : undefined
  const best = bestPlatform(wanted, images) ?? unnamed
  if (best === undefined) {
    const known = images.flatMap(({ platform }) =>
      platform === undefined ? [] : [formatPlatform(platform)],
    )
    throw new BuildError(
      'platform-missing',
      `could not use image ${name}: no match for platform ${formatPlatform(wanted)}, it has ${[...new Set(known)].join(', ') || 'no images'}`,
    )
  }
  return best
}

function isAttestation(manifest: Descriptor): boolean {
  return (
    manifest.annotations?.['vnd.docker.reference.type'] !== undefined ||
    manifest.platform?.os === 'unknown'
  )
}
