import type { CacheLocation } from '../../request.ts'
import { UsageError } from '../errors.ts'
import { readCsvFields } from './csv.ts'

/**
 * `--cache-from` and `--cache-to` (features row C32): `type=T,key=value,...`, or names of images, which mean registry
 * caches. Throws `UsageError` for cache types that are not there.
 */
export function readCacheLocations(values: readonly string[], flag: 'cache-from' | 'cache-to'): CacheLocation[] {
  return values.flatMap((text) => {
    const fields = readCsvFields(text)
    if (fields.every((field) => !field.includes('='))) {
      return fields.map((ref) => ({ type: 'registry' as const, attributes: new Map([['ref', ref]]) }))
    }
    const attributes = new Map<string, string>()
    for (const field of fields) {
      const equals = field.indexOf('=')
      if (equals < 0) {
        throw new UsageError(`invalid argument "${text}" for "--${flag}" flag: field '${field}' must be a key=value pair`)
      }
      attributes.set(field.slice(0, equals).toLowerCase(), field.slice(equals + 1))
    }
    const type = attributes.get('type')
    attributes.delete('type')
    if (type === undefined) {
      throw new UsageError(`invalid argument "${text}" for "--${flag}" flag: type is required`)
    }
    if (type !== 'registry' && type !== 'local' && !(type === 'inline' && flag === 'cache-to')) {
      throw new UsageError(`invalid argument "${text}" for "--${flag}" flag: cache type "${type}" is not supported (known: registry, local)`)
    }
    requireAttribute(attributes, type === 'registry' ? 'ref' : flag === 'cache-to' ? 'dest' : 'src', type, text, flag)
    return [{ type, attributes }]
  })
}

function requireAttribute(
  attributes: ReadonlyMap<string, string>,
  key: string,
  type: string,
  text: string,
  flag: string,
): void {
  if (type !== 'inline' && !attributes.has(key)) {
    throw new UsageError(`invalid argument "${text}" for "--${flag}" flag: ${key} is required for ${type} cache`)
  }
}
