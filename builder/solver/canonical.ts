import { createHash, type Hash } from 'node:crypto'
import { type Digest, digestOfHash } from '../../registry-client/oci/index.ts'

/** What a key can be made of. Fields of objects that are undefined do not exist. */
export type KeyValue =
  | string
  | number
  | boolean
  | undefined
  | readonly KeyValue[]
  | { readonly [field: string]: KeyValue }

/**
 * sha256 of a value written so that no two different values have the same bytes: every element carries its type and
 * its length, fields are sorted by name (features row K13: keys made by joining with a separator did collide).
 *
 * @example hashValue(['a', 'bc']) !== hashValue(['ab', 'c'])
 */
export function hashValue(value: KeyValue): Digest {
  const hash = createHash('sha256')
  write(hash, value)
  return digestOfHash(hash)
}

function write(hash: Hash, value: KeyValue): void {
  if (typeof value === 'object') {
    writeComposite(hash, value)
    return
  }
  const text = value === undefined ? '' : String(value)
  // Lone surrogates stand for bytes that are not UTF-8 (LayerPath); as UTF-16 they stay distinct.
  hash.update(`${(typeof value)[0] ?? ''}${text.length}:`).update(text, 'utf16le')
}

function writeComposite(
  hash: Hash,
  value: Exclude<KeyValue, string | number | boolean | undefined>,
): void {
  if (isList(value)) {
    hash.update(`L${value.length}:`)
    for (const item of value) {
      write(hash, item)
    }
    return
  }
  const fields = Object.entries(value).filter(([, field]) => field !== undefined)
  // Not localeCompare: the order must not depend on the machine's language.
  fields.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  hash.update(`O${fields.length}:`)
  for (const [name, field] of fields) {
    write(hash, name)
    write(hash, field)
  }
}

function isList(value: object): value is readonly KeyValue[] {
  return Array.isArray(value)
}
