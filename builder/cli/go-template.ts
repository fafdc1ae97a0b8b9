import { UsageError } from './errors.ts'

/**
 * `--format` for the templates that scripts use: text with `{{.Path.To.Field}}`, `{{json .Path}}`,
 * `{{index .Path "key"}}`, `{{index .List 0}}`, `{{join .List ","}}`, `{{len .List}}`, println, lower, upper, pipes,
 * `{{range .List}}…{{end}}`, `{{if .Path}}…{{else}}…{{end}}`. Fields are found whatever their case. Other constructs of
 * Go's text/template are refused, never printed as text. Throws `UsageError`.
 */
export function renderTemplate(template: string, value: unknown): string {
  const source = template.replaceAll('\\n', '\n').replaceAll('\\t', '\t')
  const pieces = source
    .replace(/\s*\{\{- /g, '{{')
    .replace(/ -\}\}\s*/g, '}}')
    .split(/\{\{(.*?)\}\}/s)
  if (pieces.some((piece, index) => index % 2 === 0 && piece.includes('{{'))) {
    throw new UsageError('the template has a {{ without its }}')
  }
  const reader = new BlockReader(pieces)
  const block = reader.block()
  if (reader.end !== undefined) {
    throw new UsageError(`unexpected {{${reader.end}}} in the template`)
  }
  return block.map((part) => part(value)).join('')
}

type Part = (value: unknown) => string

/** Texts and actions by turns, as `split` gives them. */
class BlockReader {
  readonly #pieces: readonly string[]
  #position = 0
  /** The action that ended the last block: `end`, `else`, or undefined at the end of the template. */
  end: string | undefined

  constructor(pieces: readonly string[]) {
    this.#pieces = pieces
  }

  block(): Part[] {
    const parts: Part[] = []
    this.end = undefined
    for (; this.#position < this.#pieces.length; this.#position++) {
      const piece = this.#pieces[this.#position] ?? ''
      if (this.#position % 2 === 0) {
        parts.push(() => piece)
        continue
      }
      const action = piece.trim()
      if (action === 'end' || action === 'else') {
        this.#position += 1
        this.end = action
        return parts
      }
      parts.push(this.#action(action))
    }
    // Not that of a block inside.
    this.end = undefined
    return parts
  }

  #action(action: string): Part {
    const [, word, rest] = /^(range|if)\s+(.*)$/s.exec(action) ?? []
    if (word === undefined || rest === undefined) {
      const read = expression(action)
      return (value) => print(read(value))
    }
    this.#position += 1
    const read = expression(rest)
    const body = this.block()
    const other = this.end === 'else' ? this.block() : []
    if (this.end !== 'end') {
      throw new UsageError(`{{${action}}} has no {{end}}`)
    }
    // The loop of the block that this one is in goes on behind the end.
    this.#position -= 1
    const render = (parts: readonly Part[], value: unknown): string =>
      parts.map((part) => part(value)).join('')
    return (value) => {
      const found = read(value)
      if (isEmpty(found)) return render(other, value)
      return word === 'if'
        ? render(body, value)
        : items(found)
            .map((item) => render(body, item))
            .join('')
    }
  }
}

type Read = (value: unknown) => unknown

const FUNCTIONS: Readonly<Record<string, (...args: readonly unknown[]) => unknown>> = {
  json: (value) => JSON.stringify(value ?? null),
  index: (value, ...keys) =>
    keys.reduce<unknown>(
      (inner, key) => (Array.isArray(inner) ? inner[Number(key)] : ownField(inner, String(key))),
      value,
    ),
  join: (list, separator) => items(list).map(print).join(String(separator)),
  len: (value) => (typeof value === 'string' ? value.length : items(value).length),
  println: (...values) => `${values.map(print).join(' ')}\n`,
  lower: (value) => print(value).toLowerCase(),
  upper: (value) => print(value).toUpperCase(),
}

/** `function term term | function`, or a term alone; what a pipe brings is the last argument. */
function expression(text: string): Read {
  const tokens = text.match(/[()|]|"(?:[^"\\]|\\.)*"|[^\s()|"]+/g) ?? []
  let position = 0
  const refuse = (): UsageError =>
    new UsageError(
      `unsupported template action {{${text}}}: fields, ${Object.keys(FUNCTIONS).join(', ')}, range and if are known`,
    )
  const pipeline = (): Read => {
    let read = command(undefined)
    while (tokens[position] === '|') {
      position += 1
      read = command(read)
    }
    return read
  }
  const command = (piped: Read | undefined): Read => {
    const called = functionNamed(tokens[position] ?? '')
    if (called === undefined) {
      if (piped !== undefined) throw refuse()
      return term()
    }
    position += 1
    const args: Read[] = []
    while (position < tokens.length && tokens[position] !== '|' && tokens[position] !== ')') {
      args.push(term())
    }
    const all = piped === undefined ? args : [...args, piped]
    if (all.length === 0) throw refuse()
    return (value) => called(...all.map((read) => read(value)))
  }
  const term = (): Read => {
    const token = tokens[position] ?? ''
    position += 1
    if (token === '(') {
      const inner = pipeline()
      if (tokens[position] !== ')') throw refuse()
      position += 1
      return inner
    }
    if (/^"/.test(token)) return () => token.slice(1, -1).replace(/\\(.)/g, '$1')
    if (/^\d+$/.test(token)) return () => Number(token)
    if (!/^\.(?:[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)?$/.test(token)) throw refuse()
    return (value) => fieldAt(value, token)
  }
  const read = pipeline()
  if (position < tokens.length) throw refuse()
  return read
}

function functionNamed(name: string): ((...args: readonly unknown[]) => unknown) | undefined {
  return Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined
}

function fieldAt(value: unknown, path: string): unknown {
  let field = value
  for (const name of path.split('.').filter((part) => part !== '')) {
    field = ownField(field, name)
  }
  return field
}

function ownField(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) {
    return undefined
  }
  const key =
    Object.keys(value).find((own) => own === name) ??
    Object.keys(value).find((own) => own.toLowerCase() === name.toLowerCase())
  const entry = key === undefined ? undefined : Object.entries(value).find(([own]) => own === key)
  return entry?.[1]
}

function items(value: unknown): unknown[] {
  if (Array.isArray(value)) {
    return value
  }
  return typeof value === 'object' && value !== null ? Object.values(value) : []
}

/** Go's notion of what `if` and `range` pass over. */
function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null ? items(value).length === 0 : !value
}

function print(value: unknown): string {
  if (Array.isArray(value)) {
    return `[${value.map(print).join(' ')}]`
  }
  if (typeof value === 'object' && value !== null) {
    return `map[${Object.entries(value)
      .map(([key, item]) => `${key}:${print(item)}`)
      .join(' ')}]`
  }
  return value === undefined ? '<no value>' : String(value)
}
