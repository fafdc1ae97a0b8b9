import type { AnnotationRequest, OutputRequest } from '../../request.ts'
import { UsageError } from '../errors.ts'
import { nearestWord } from '../nearest-word.ts'
import { readAnnotationAttribute } from './annotations.ts'
import { readCsvFields } from './csv.ts'
import { OutputAttributes, readLayerFormat } from './layer-format.ts'
import { hasTagOrDigest, readTag } from './reference.ts'

/** What of the other flags decides about outputs. */
export interface OutputSurroundings {
  /** Normalised; they replace every `name=` (features row C14). */
  readonly tags: readonly string[]
  readonly push: boolean
  readonly load: boolean
  /** Of `--annotation`. */
  readonly annotations: readonly AnnotationRequest[]
}

/**
 * `-o`, `--push` and `--load` together (features rows C28-C31, C64-C77). Without any the image goes to the local store.
 * Throws `UsageError`.
 */
export function readOutputs(
  values: readonly string[],
  surroundings: OutputSurroundings,
): OutputRequest[] {
  const outputs = values.map((text) => readOutput(text, surroundings))
  if (surroundings.push && !outputs.some(({ type }) => type === 'image')) {
    outputs.push(imageOutput(new OutputAttributes(new Map()), surroundings, true))
  }
  if (
    surroundings.load &&
    !outputs.some((output) => output.type === 'docker' && output.dest === undefined)
  ) {
    outputs.push(archiveOutput('docker', new OutputAttributes(new Map()), surroundings))
  }
  if (outputs.length === 0) {
    outputs.push(imageOutput(new OutputAttributes(new Map()), surroundings, false))
  }
  for (const output of outputs) {
    if (output.type === 'image' && output.push && output.names.length === 0) {
      throw new UsageError('tag is needed when pushing to registry: give one with -t or name=')
    }
  }
  return outputs
}

function readOutput(text: string, surroundings: OutputSurroundings): OutputRequest {
  const fields = readCsvFields(text)
  const [only] = fields
  if (fields.length === 1 && only !== undefined && !only.startsWith('type=')) {
    return only === '-'
      ? { type: 'tar', dest: '-', platformSplit: undefined }
      : { type: 'local', dest: only, platformSplit: undefined }
  }
  const pairs = attributePairs(fields)
  const type = pairs.get('type')
  pairs.delete('type')
  if (type === undefined || type === '') {
    throw new UsageError(`invalid output "${text}": type is required for output`)
  }
  const attributes = new OutputAttributes(pairs)
  const output = outputOfType(type, attributes, surroundings)
  refuseUnknown(attributes, `output "${text}"`, type)
  return output
}

/** The key alone means true: BuildKit accepts this for its boolean attributes. Keys of annotations keep their case. */
function attributePairs(fields: readonly string[]): Map<string, string> {
  return new Map(
    fields.map((field) => {
      const equals = field.indexOf('=')
      const key = (equals < 0 ? field : field.slice(0, equals)).trim()
      const value = equals < 0 ? '' : field.slice(equals + 1)
      return [key.startsWith('annotation') ? key : key.toLowerCase(), value] as const
    }),
  )
}

function refuseUnknown({ unknownKeys }: OutputAttributes, what: string, type: string): void {
  const [unknown] = unknownKeys
  if (unknown !== undefined) {
    const reason = UNSUPPORTED_ATTRIBUTES.get(unknown)
    if (reason !== undefined) {
      throw new UsageError(`invalid ${what}: "${unknown}" is not supported: ${reason}`)
    }
    // Known to another type: the word is right, so another one is no help.
    const isKnown = KNOWN_ATTRIBUTES.includes(unknown)
    const nearest = isKnown ? undefined : nearestWord(unknown, KNOWN_ATTRIBUTES)
    const hint = nearest === undefined ? '' : `; did you mean ${nearest}?`
    throw new UsageError(
      isKnown
        ? `invalid ${what}: type=${type} has no attribute "${unknown}"`
        : `invalid ${what}: unknown attribute "${unknown}" for type=${type}${hint}`,
    )
  }
}

/** Attributes of BuildKit's outputs (features row C64) that would have to change what is made, and cannot. */
const UNSUPPORTED_ATTRIBUTES: ReadonlyMap<string, string> = new Map([
  ['source-date-epoch', 'SOURCE_DATE_EPOCH holds for all outputs of a build'],
  ['oci-artifact', 'there are no attestations'],
  ['attestation-inline', 'there are no attestations'],
  ['attestation-prefix', 'there are no attestations'],
  ['prefer-nondist-layers', 'layers of base images keep their media types'],
  ['dangling-name-prefix', 'an image without a name is stored without one'],
  ['danging-name-empty-only', 'an image without a name is stored without one'],
  ['compatibility-version', 'images are those of the newest version'],
  ['context', 'DOCKER_HOST says which engine to load into'],
])

const KNOWN_ATTRIBUTES = [
  'name',
  'push',
  'push-by-digest',
  'name-canonical',
  'registry.insecure',
  'oci-mediatypes',
  'store',
  'compression',
  'compression-level',
  'force-compression',
  'rewrite-timestamp',
  'dest',
  'tar',
  'platform-split',
]

function outputOfType(
  type: string,
  attributes: OutputAttributes,
  surroundings: OutputSurroundings,
): OutputRequest {
  switch (type) {
    case 'image':
      return imageOutput(attributes, surroundings, surroundings.push)
    case 'registry':
      return imageOutput(attributes, surroundings, true)
    case 'oci':
    case 'docker':
      return archiveOutput(type, attributes, surroundings)
    case 'local':
      return filesOutput(type, attributes)
    case 'tar':
      return filesOutput(type, attributes)
    case 'cacheonly':
      return { type }
    default: {
      const nearest = nearestWord(type, [
        'image',
        'registry',
        'oci',
        'docker',
        'local',
        'tar',
        'cacheonly',
      ])
      const hint = nearest === undefined ? '' : `; did you mean ${nearest}?`
      throw new UsageError(
        `output type "${type}" could not be found${hint} (known: image, registry, oci, docker, local, tar, cacheonly)`,
      )
    }
  }
}

function imageOutput(
  attributes: OutputAttributes,
  surroundings: OutputSurroundings,
  isPushed: boolean,
): OutputRequest {
  const push = attributes.boolean('push') ?? false
  const pushByDigest = attributes.boolean('push-by-digest') ?? false
  const names = outputNames(attributes, surroundings, pushByDigest)
  // Unpacking happens when something runs the image; stored layers serve either way.
  attributes.boolean('unpack')
  // The store finds `name@digest` of every image that it has under the name, so it needs no second name.
  attributes.boolean('name-canonical')
  return {
    type: 'image',
    names,
    push: push || isPushed,
    pushByDigest,
    store: attributes.boolean('store') ?? true,
    isInsecure: attributes.boolean('registry.insecure') ?? false,
    format: readLayerFormat(attributes),
    annotations: outputAnnotations(attributes, surroundings),
  }
}

function archiveOutput(
  type: 'oci' | 'docker',
  attributes: OutputAttributes,
  surroundings: OutputSurroundings,
): OutputRequest {
  const isTar = attributes.boolean('tar') ?? true
  const dest = fileDestination(attributes)
  if (!isTar && (dest === undefined || dest === '-')) {
    throw new UsageError(`dest is required for ${type} output with tar=false: a directory`)
  }
  return {
    type,
    // docker without a destination loads into the engine; oci writes to stdout.
    dest: dest ?? (type === 'oci' ? '-' : undefined),
    isTar,
    names: outputNames(attributes, surroundings, false),
    format: readLayerFormat(attributes),
    annotations: outputAnnotations(attributes, surroundings),
  }
}

function filesOutput(type: 'local' | 'tar', attributes: OutputAttributes): OutputRequest {
  const mode = attributes.text('mode')
  const modes = type === 'local' ? ['copy', 'delete'] : ['copy']
  if (mode !== undefined && !modes.includes(mode)) {
    throw new UsageError(
      `output type=${type} with mode=${mode} is not supported (known: ${modes.join(', ')})`,
    )
  }
  const dest = fileDestination(attributes) ?? (type === 'tar' ? '-' : undefined)
  if (dest === undefined) {
    throw new UsageError('dest is required for local output: -o type=local,dest=DIR')
  }
  if (type === 'local' && dest === '-') {
    throw new UsageError('dest cannot be stdout for local output: use type=tar')
  }
  const platformSplit = attributes.boolean('platform-split')
  return mode === 'delete'
    ? { type, dest, platformSplit, isMirror: true }
    : { type, dest, platformSplit }
}

/** `dest`; an empty one is none. */
function fileDestination(attributes: OutputAttributes): string | undefined {
  const dest = attributes.text('dest') || undefined
  return dest === '/dev/stdout' ? '-' : dest
}

function outputNames(
  attributes: OutputAttributes,
  { tags }: OutputSurroundings,
  isByDigest: boolean,
): readonly string[] {
  const name = attributes.text('name')
  if (isByDigest && tags.length > 0) {
    throw new UsageError(
      'push-by-digest=true cannot be used with -t: give the repository with name=',
    )
  }
  if (tags.length > 0 || name === undefined || name === '') {
    return tags
  }
  const names = name.split(',').map((text) => text.trim())
  const tagged = isByDigest ? names.find(hasTagOrDigest) : undefined
  if (tagged !== undefined) {
    throw new UsageError(
      `invalid name of an output: "${tagged}" has a tag, and push-by-digest=true writes none: give the repository alone`,
    )
  }
  return names.map((text) => readTag(text, 'name of an output'))
}

function outputAnnotations(
  attributes: OutputAttributes,
  { annotations }: OutputSurroundings,
): AnnotationRequest[] {
  const own = attributes.entries().flatMap(([key, value]) => {
    const annotation = readAnnotationAttribute(key, value)
    if (annotation === undefined) {
      return []
    }
    attributes.text(key)
    return [annotation]
  })
  return [...annotations, ...own]
}
