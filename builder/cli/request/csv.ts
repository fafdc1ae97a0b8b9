import { UsageError } from '../errors.ts'

/**
 * The fields of one CSV line, as docker reads flag values (RFC 4180, Go's encoding/csv): a field that begins with `"`
 * ends at the next single `"`, and `""` inside stands for one quote. Throws `UsageError` for quotes in other places.
 */
export function readCsvFields(text: string): string[] {
  const fields: string[] = []
  let rest = text
  for (;;) {
    const field = rest.startsWith('"') ? quotedField(rest, text) : plainField(rest, text)
    fields.push(field.value)
    if (field.end === rest.length) {
      return fields
    }
    rest = rest.slice(field.end + 1)
  }
}

/** `key=value` fields of a flag; the key is everything before the first `=`. Fields without `=` have no value. */
export function readCsvPairs(
  text: string,
): { readonly key: string; readonly value: string | undefined }[] {
  return readCsvFields(text).map((field) => {
    const equals = field.indexOf('=')
    return equals < 0
      ? { key: field, value: undefined }
      : { key: field.slice(0, equals), value: field.slice(equals + 1) }
  })
}

interface Field {
  readonly value: string
  /** Index after the field: of a comma, or the end of the text. */
  readonly end: number
}

function plainField(rest: string, whole: string): Field {
  const comma = rest.indexOf(',')
  const end = comma < 0 ? rest.length : comma
  const value = rest.slice(0, end)
  if (value.includes('"')) {
    throw new UsageError(
      `could not read "${whole}": a quote stands inside a field that does not begin with one`,
    )
  }
  return { value, end }
}

function quotedField(rest: string, whole: string): Field {
  let value = ''
  for (let index = 1; index < rest.length; index++) {
    if (rest[index] !== '"') {
      value += rest[index]
    } else if (rest[index + 1] === '"') {
      value += '"'
      index += 1
    } else if (index + 1 === rest.length || rest[index + 1] === ',') {
      return { value, end: index + 1 }
    } else {
      throw new UsageError(`could not read "${whole}": text follows the closing quote of a field`)
    }
  }
  throw new UsageError(`could not read "${whole}": a quote is not closed`)
}
