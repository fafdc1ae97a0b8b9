/** Fields of one CSV line as Go's reader takes it, or undefined when its quotes are wrong. */
export function csvFields(text: string): string[] | undefined {
  const fields: string[] = []
  for (let at = 0; ; at++) {
    const field = text[at] === '"' ? readQuoted(text, at + 1) : readPlain(text, at)
    if (field === undefined) return undefined
    fields.push(field.value)
    at = field.end
    if (at >= text.length) return fields
    if (text[at] !== ',') return undefined
  }
}

interface CsvField {
  readonly value: string
  readonly end: number
}

/** A field without quotes, up to the next comma. */
function readPlain(text: string, start: number): CsvField | undefined {
  const comma = text.indexOf(',', start)
  const end = comma < 0 ? text.length : comma
  const value = text.slice(start, end)
  return value.includes('"') ? undefined : { value, end }
}

/** A quoted field from behind its first quote; `""` is a quote. */
function readQuoted(text: string, start: number): CsvField | undefined {
  let value = ''
  let at = start
  for (;;) {
    const quote = text.indexOf('"', at)
    if (quote < 0) return undefined
    value += text.slice(at, quote)
    if (text[quote + 1] !== '"') return { value, end: quote + 1 }
    value += '"'
    at = quote + 2
  }
}
