import type { CacheLocation } from '../../request.ts'
import { UsageError } from '../errors.ts'
import { readCsvFields } from './csv.ts'

/**
 * `--cache-from` and `--cache-to` (features row C32): `type=T,key=value,...`, or names of images, which mean registry
 * caches. Throws `UsageError` for cache types that are not there.
 */
export function readCacheLocations(
  values: readonly string[],
  flag: 'cache-from' | 'cache-to',
): CacheLocation[] {
  return values.flatMap((text) => {
    const fields = readCsvFields(text)
    return fields.every((field) => !field.includes('='))
      ? fields.map((ref) => ({ type: 'registry' as const, attributes: new Map([['ref', ref]]) }))
      : [readLocation(text, fields, flag)]
  })
}

function readLocation(
  text: string,
  fields: readonly string[],
  flag: 'cache-from' | 'cache-to',
): CacheLocation {
  const refuse = (reason: string): UsageError =>
    new UsageError(`invalid argument "${text}" for "--${flag}" flag: ${reason}`)
  const attributes = new Map<string, string>()
  for (const field of fields) {
    const equals = field.indexOf('=')
    if (equals < 0) {
      throw refuse(`field '${field}' must be a key=value pair`)
    }
    attributes.set(field.slice(0, equals).toLowerCase(), field.slice(equals + 1))
  }
  const type = attributes.get('type')
  attributes.delete('type')
  if (type === undefined) {
    throw refuse('type is required')
  }
  const place = PLACES.get(`${flag} ${type}`)
  if (place === undefined || !isCacheType(type)) {
    throw refuse(`cache type "${type}" is not supported (known: registry, local)`)
  }
  if (place !== '' && !attributes.has(place)) {
    throw refuse(`${place} is required for ${type} cache`)
  }
  return { type, attributes }
}

/** The attribute that says where a cache is; '' when it needs none. */
const PLACES: ReadonlyMap<string, string> = new Map([
  ['cache-from registry', 'ref'],
  ['cache-to registry', 'ref'],
  ['cache-from local', 'src'],
  ['cache-to local', 'dest'],
  ['cache-to inline', ''],
])

function isCacheType(text: string): text is CacheLocation['type'] {
  return text === 'registry' || text === 'local' || text === 'inline'
}
