import type { Descriptor } from './descriptor.ts'
import { type Digest, parseDigest } from './digest.ts'
import {
  asArrayOf,
  asInteger,
  asMapOf,
  asObject,
  asString,
  type JsonPlace,
  jsonError,
  member,
  optional,
  required,
} from './json-reader.ts'
import { sortedMap, withoutUndefined } from './json-writer.ts'
import type { Platform } from './platform.ts'

/**
 * Reads a descriptor as it stands in a manifest, an index or an `index.json`; throws with the code
 * of `place`.
 */
export function readDescriptor(value: unknown, place: JsonPlace): Descriptor {
  const object = asObject(value, place)
  const sizeBytes = required(object, 'size', place, asInteger)
  if (sizeBytes < 0)
    throw jsonError(member(place, 'size'), `must not be negative, not ${sizeBytes}`)
  return withoutUndefined({
    mediaType: required(object, 'mediaType', place, asString),
    digest: required(object, 'digest', place, readDigest),
    sizeBytes,
    platform: optional(object, 'platform', place, readPlatform),
    annotations: optional(object, 'annotations', place, asMapOf(asString)),
    urls: optional(object, 'urls', place, asArrayOf(asString)),
    artifactType: optional(object, 'artifactType', place, asString),
  })
}

/** The JSON of a descriptor, keys in the order of the OCI specification's Go types. */
export function descriptorJson(descriptor: Descriptor): Record<string, unknown> {
  return withoutUndefined({
    mediaType: descriptor.mediaType,
    digest: descriptor.digest,
    size: descriptor.sizeBytes,
    urls: descriptor.urls,
    annotations: sortedMap(descriptor.annotations),
    platform: descriptor.platform === undefined ? undefined : platformJson(descriptor.platform),
    artifactType: descriptor.artifactType,
  })
}

function readDigest(value: unknown, place: JsonPlace): Digest {
  const text = asString(value, place)
  const digest = parseDigest(text)
  if (digest === undefined)
    throw jsonError(place, `must be a sha256 digest, not ${JSON.stringify(text.slice(0, 100))}`)
  return digest
}

function readPlatform(value: unknown, place: JsonPlace): Platform {
  const object = asObject(value, place)
  return withoutUndefined({
    os: required(object, 'os', place, asString),
    architecture: required(object, 'architecture', place, asString),
    variant: optional(object, 'variant', place, asString),
    osVersion: optional(object, 'os.version', place, asString),
    osFeatures: optional(object, 'os.features', place, asArrayOf(asString)),
  })
}

function platformJson(platform: Platform): Record<string, unknown> {
  return withoutUndefined({
    architecture: platform.architecture,
    os: platform.os,
    'os.version': platform.osVersion,
    'os.features': platform.osFeatures,
    variant: platform.variant,
  })
}
