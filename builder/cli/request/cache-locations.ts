import { resolve } from 'node:path'
import { formatReference } from '../../../registry-client/oci/index.ts'
import type { CacheExport, CacheImport } from '../../request.ts'
import { readBoolean } from '../args.ts'
import { UsageError } from '../errors.ts'
import { readCsvFields } from './csv.ts'
import { OutputAttributes, readLayerFormat } from './layer-format.ts'
import { readReference, readTag } from './reference.ts'

/** What other builders keep caches in (features rows C81-C83). Reading none of it only costs time; writing was asked for. */
const UNSUPPORTED: readonly string[] = ['gha', 's3', 'azblob']

/**
 * `--cache-from` (features rows C32, C78-C83): `type=registry,ref=` or `type=local,src=`, or names of images, which mean
 * registry caches. Throws `UsageError`.
 */
export function readCacheImports(values: readonly string[], cwd: string): CacheImport[] {
  return values.flatMap((text) => {
    const fields = readCsvFields(text)
    if (fields.every((field) => !field.includes('='))) {
      return fields.map((ref) => ({ type: 'registry', ref: readName(ref), isInsecure: false }))
    }
    return [readFields(text, fields, 'cache-from', (type, field) => readImport(type, field, cwd))]
  })
}

/** `--cache-to`: as above, with `mode` and the form of layers. Throws `UsageError`. */
export function readCacheExports(values: readonly string[], cwd: string): CacheExport[] {
  return values.flatMap((text) => {
    const fields = readCsvFields(text)
    const all = fields.every((field) => !field.includes('='))
      ? fields.map((ref) => ({ text, fields: ['type=registry', `ref=${ref}`] }))
      : [{ text, fields }]
    return all.map((one) =>
      readFields(one.text, one.fields, 'cache-to', (type, field) => readExport(type, field, cwd)),
    )
  })
}

/** BUILDKIT_INLINE_CACHE=1 asks for an inline cache too (features row D49). */
export function withInlineCache(
  exports: readonly CacheExport[],
  buildArgs: ReadonlyMap<string, string>,
): readonly CacheExport[] {
  const isWanted = readBoolean(buildArgs.get('BUILDKIT_INLINE_CACHE') ?? '') === true
  return !isWanted || exports.some(({ type }) => type === 'inline')
    ? exports
    : [...exports, { type: 'inline' }]
}

function readImport(type: string, fields: OutputAttributes, cwd: string): CacheImport {
  switch (type) {
    case 'registry':
      return { type, ref: readName(required(fields, 'ref', type)), isInsecure: insecure(fields) }
    case 'local': {
      const src = resolve(cwd, required(fields, 'src', type))
      const tag = fields.text('tag')
      return { type, src, reference: fields.text('digest') ?? tag }
    }
    default:
      if (UNSUPPORTED.includes(type)) {
        fields.ignoreOthers()
        return { type: 'unsupported', kind: type }
      }
      throw new UsageError(`cache type "${type}" is not known (known: registry, local)`)
  }
}

function readExport(type: string, fields: OutputAttributes, cwd: string): CacheExport {
  switch (type) {
    case 'registry': {
      const ref = readTag(required(fields, 'ref', type))
      return { type, ref, isInsecure: insecure(fields), ...readForm(fields) }
    }
    case 'local': {
      const dest = resolve(cwd, required(fields, 'dest', type))
      const tag = fields.text('tag') ?? 'latest'
      return { type, dest, tag, isReset: fields.boolean('reset') ?? false, ...readForm(fields) }
    }
    case 'inline':
      return { type }
    default:
      throw new UsageError(`cache type "${type}" is not supported (known: registry, local, inline)`)
  }
}

function readName(text: string): string {
  return formatReference(readReference(text, 'cache reference'))
}

function readForm(
  fields: OutputAttributes,
): Omit<Extract<CacheExport, { type: 'registry' }>, 'type' | 'ref' | 'isInsecure'> {
  const mode = fields.text('mode') ?? 'min'
  if (mode !== 'min' && mode !== 'max') {
    throw new UsageError(`mode=${mode} must be min or max`)
  }
  if (fields.boolean('image-manifest') === false) {
    throw new UsageError('image-manifest=false is not supported: caches are image manifests')
  }
  const isErrorIgnored = fields.boolean('ignore-error') ?? false
  return { mode, isErrorIgnored, format: readLayerFormat(fields) }
}

/** Reads one value; what is wrong with it is told with the value, and what nobody asked for is refused. */
function readFields<Location>(
  text: string,
  fields: readonly string[],
  flag: string,
  read: (type: string, fields: OutputAttributes) => Location,
): Location {
  try {
    const attributes = new OutputAttributes(readPairs(fields))
    const location = read(required(attributes, 'type', undefined), attributes)
    const [unknown] = attributes.unknownKeys
    if (unknown !== undefined) {
      throw new UsageError(`key '${unknown}' is not known`)
    }
    return location
  } catch (error) {
    if (error instanceof UsageError) {
      throw new UsageError(`invalid argument "${text}" for "--${flag}" flag: ${error.message}`)
    }
    throw error
  }
}

function readPairs(fields: readonly string[]): Map<string, string> {
  return new Map(
    fields.map((field) => {
      const equals = field.indexOf('=')
      if (equals < 0) {
        throw new UsageError(`field '${field}' must be a key=value pair`)
      }
      return [field.slice(0, equals).toLowerCase(), field.slice(equals + 1)]
    }),
  )
}

function required(fields: OutputAttributes, key: string, type: string | undefined): string {
  const value = fields.text(key)
  if (value === undefined || value === '') {
    throw new UsageError(`${key} is required${type === undefined ? '' : ` for ${type} cache`}`)
  }
  return value
}

function insecure(fields: OutputAttributes): boolean {
  return fields.boolean('registry.insecure') ?? false
}
