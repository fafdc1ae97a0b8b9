import { digestOf } from './digest.ts'
import { descriptorJson, readDescriptor } from './descriptor-json.ts'
import { OciError } from './errors.ts'
import {
  asArrayOf,
  asInteger,
  asMapOf,
  asString,
  type JsonObject,
  type JsonPlace,
  optional,
  parseJsonObject,
  required,
} from './json-reader.ts'
import { sortedMap, withoutUndefined } from './json-writer.ts'
import type { ImageIndex, ImageManifest, ManifestBytes, ParsedManifest } from './manifest.ts'
import {
  DOCKER_INDEX,
  DOCKER_MANIFEST,
  type MediaType,
  OCI_INDEX,
  OCI_MANIFEST,
} from './media-type.ts'

/**
 * What registries must accept, and the bound of what we read (distribution-spec, "Pushing
 * Manifests").
 */
export const MANIFEST_BYTES_MAX: number = 4 * 1024 * 1024

const SCHEMA1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+(?:json|prettyjws)$/
/** Content types that say nothing: registries behind file servers and proxies send these. */
const GENERIC_TYPES = new Set(['', 'application/json', 'text/plain', 'application/octet-stream'])
const INDEX_TYPES = new Set([OCI_INDEX, DOCKER_INDEX])

/** Whether a descriptor of this type leads to further manifests. */
export function isIndexType(mediaType: MediaType): boolean {
  return INDEX_TYPES.has(mediaType)
}

/** Whether a descriptor of this type leads to an image manifest. */
export function isManifestType(mediaType: MediaType): boolean {
  return mediaType === OCI_MANIFEST || mediaType === DOCKER_MANIFEST
}

/**
 * Reads a manifest or index. `declaredType` is the Content-Type or the descriptor's media type;
 * what the body says must agree with it, and a body must not be both kinds at once, or two readers
 * could see two images (CVE-2021-41190). Throws OciError `bad-manifest`.
 */
export function parseManifest(
  bytes: Uint8Array,
  declaredType: MediaType | undefined,
): ParsedManifest {
  const place: JsonPlace = { path: 'manifest', code: 'bad-manifest' }
  const declared = bareType(declaredType)
  if (SCHEMA1.test(declared)) throw schema1()
  const object = parseJsonObject(bytes, place, MANIFEST_BYTES_MAX)
  if (object['schemaVersion'] === 1) throw schema1()
  const version = required(object, 'schemaVersion', place, asInteger)
  if (version !== 2) throw bad(`manifest.schemaVersion must be 2, not ${version}`)
  const mediaType = agreedType(object, declared, optional(object, 'mediaType', place, asString))
  if (isIndexType(mediaType)) return { kind: 'index', index: readIndex(object, mediaType, place) }
  if (isManifestType(mediaType))
    return { kind: 'manifest', manifest: readManifest(object, mediaType, place) }
  throw bad(
    `manifest has the type ${JSON.stringify(mediaType)}, which is neither an image manifest nor an index`,
  )
}

/**
 * The bytes of a manifest: two-space JSON with the keys in the specification's order, so equal
 * manifests are equal bytes.
 */
export function serializeManifest(manifest: ImageManifest): ManifestBytes {
  return manifestBytes(manifest.mediaType, {
    schemaVersion: 2,
    mediaType: manifest.mediaType,
    artifactType: manifest.artifactType,
    config: descriptorJson(manifest.config),
    layers: manifest.layers.map(descriptorJson),
    subject: manifest.subject === undefined ? undefined : descriptorJson(manifest.subject),
    annotations: sortedMap(manifest.annotations),
  })
}

/** The bytes of an index, made as those of a manifest are. */
export function serializeIndex(index: ImageIndex): ManifestBytes {
  return manifestBytes(index.mediaType, {
    schemaVersion: 2,
    mediaType: index.mediaType,
    artifactType: index.artifactType,
    manifests: index.manifests.map(descriptorJson),
    subject: index.subject === undefined ? undefined : descriptorJson(index.subject),
    annotations: sortedMap(index.annotations),
  })
}

function manifestBytes(mediaType: MediaType, json: Record<string, unknown>): ManifestBytes {
  const bytes = Buffer.from(JSON.stringify(json, null, 2))
  return { mediaType, digest: digestOf(bytes), bytes }
}

function readManifest(object: JsonObject, mediaType: MediaType, place: JsonPlace): ImageManifest {
  return withoutUndefined({
    mediaType,
    config: required(object, 'config', place, readDescriptor),
    layers: optional(object, 'layers', place, asArrayOf(readDescriptor)) ?? [],
    annotations: optional(object, 'annotations', place, asMapOf(asString)),
    artifactType: optional(object, 'artifactType', place, asString),
    subject: optional(object, 'subject', place, readDescriptor),
  })
}

function readIndex(object: JsonObject, mediaType: MediaType, place: JsonPlace): ImageIndex {
  return withoutUndefined({
    mediaType,
    manifests: optional(object, 'manifests', place, asArrayOf(readDescriptor)) ?? [],
    annotations: optional(object, 'annotations', place, asMapOf(asString)),
    artifactType: optional(object, 'artifactType', place, asString),
    subject: optional(object, 'subject', place, readDescriptor),
  })
}

function agreedType(object: JsonObject, declared: string, own: string | undefined): MediaType {
  const kinds = kindsOf(object)
  if (kinds.length === 2)
    throw bad('manifest holds both layers and manifests, so it is neither kind')
  const [kind] = kinds
  const isDeclared = !GENERIC_TYPES.has(declared)
  if (own && isDeclared && own !== declared) {
    throw bad(
      `manifest says it is ${JSON.stringify(own)} but was served as ${JSON.stringify(declared)}`,
    )
  }
  const type = own || (isDeclared ? declared : undefined)
  if (type === undefined) {
    if (kind === undefined) throw bad('manifest has neither layers nor manifests')
    return kind === 'index' ? OCI_INDEX : OCI_MANIFEST
  }
  if (kind !== undefined && isIndexType(type) !== (kind === 'index')) {
    throw bad(`manifest is called ${JSON.stringify(type)} but has the members of the other kind`)
  }
  return type
}

/** What the members that are there speak for. */
function kindsOf(object: JsonObject): ParsedManifest['kind'][] {
  const kinds: ParsedManifest['kind'][] = []
  if (isPresent(object, 'config') || isPresent(object, 'layers')) kinds.push('manifest')
  if (isPresent(object, 'manifests')) kinds.push('index')
  return kinds
}

function isPresent(object: JsonObject, key: string): boolean {
  return Object.hasOwn(object, key) && object[key] !== null
}

/** A Content-Type without its parameters. */
function bareType(type: string | undefined): string {
  return (type ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

function schema1(): OciError {
  return bad(
    'manifest has schema version 1, which Docker withdrew; push the image again with a current tool',
  )
}

function bad(reason: string): OciError {
  return new OciError('bad-manifest', reason)
}
