import { ContextError } from './errors.ts'

/** Escapes that mean the same set of characters in RE2 (which knows ASCII only) written for JavaScript. */
const ESCAPED_SETS: ReadonlyMap<string, string> = new Map([
  ['d', '0-9'],
  ['s', '\\t\\n\\f\\r '],
  ['w', '0-9A-Za-z_'],
])

const ESCAPED_CONTROLS: ReadonlyMap<string, string> = new Map([
  ['a', '\\x07'],
  ['f', '\\f'],
  ['n', '\\n'],
  ['r', '\\r'],
  ['t', '\\t'],
  ['v', '\\v'],
])

const ASSERTIONS: ReadonlyMap<string, string> = new Map([
  ['b', '\\b'],
  ['B', '\\B'],
  ['A', '^'],
  ['z', '$'],
])

const NAMED_CLASSES: ReadonlyMap<string, string> = new Map([
  ['alnum', '0-9A-Za-z'],
  ['alpha', 'A-Za-z'],
  ['digit', '0-9'],
  ['lower', 'a-z'],
  ['upper', 'A-Z'],
  ['xdigit', '0-9A-Fa-f'],
  ['word', '0-9A-Za-z_'],
  ['space', '\\t\\n\\v\\f\\r '],
])

/**
 * The JavaScript form of a regular expression in the syntax of Go's `regexp`, as far as ignore patterns can hold one:
 * they are turned into Go expressions with character classes and escapes passed on as they are (features row D126).
 * Fails with `bad-pattern` where Go fails; `pattern` is what the message names.
 */
export function compileGoRegexp(source: string, pattern: string): RegExp {
  const reader = new Reader(Array.from(source), pattern)
  let translated = ''
  for (let char = reader.next(); char !== undefined; char = reader.next()) {
    if (char === '\\') {
      translated += translateEscape(reader)
    } else if (char === '[') {
      translated += translateClass(reader)
    } else if (char === '.') {
      translated += '[^\\n]'
    } else if (char === ']') {
      translated += '\\]'
    } else {
      translated += char
    }
  }
  try {
    return new RegExp(translated, 'u')
  } catch (error) {
    throw reader.fail(error)
  }
}

class Reader {
  readonly #chars: readonly string[]
  readonly #pattern: string
  #position = 0

  constructor(chars: readonly string[], pattern: string) {
    this.#chars = chars
    this.#pattern = pattern
  }

  next(): string | undefined {
    const char = this.#chars[this.#position]
    this.#position += 1
    return char
  }

  peek(offset = 0): string | undefined {
    return this.#chars[this.#position + offset]
  }

  /** The text before `end`, which is consumed too; undefined (and nothing consumed) when it does not follow. */
  takeUntil(end: string): string | undefined {
    const index = this.#chars.slice(this.#position).join('').indexOf(end)
    if (index < 0) {
      return undefined
    }
    const text = this.#chars.slice(this.#position).join('').slice(0, index)
    this.#position += Array.from(text + end).length
    return text
  }

  fail(cause?: unknown): ContextError {
    return new ContextError('bad-pattern', `syntax error in pattern: ${this.#pattern}`, { cause })
  }
}

function translateEscape(reader: Reader): string {
  const char = reader.next()
  const set = char === undefined ? undefined : ESCAPED_SETS.get(char.toLowerCase())
  if (char !== undefined && set !== undefined) {
    return char === char.toLowerCase() ? `[${set}]` : `[^${set}]`
  }
  const assertion = char === undefined ? undefined : ASSERTIONS.get(char)
  return assertion ?? translateEscapedLiteral(char, reader)
}

/** A character that an escape stands for: a control character or ASCII punctuation; RE2 refuses all others. */
function translateEscapedLiteral(char: string | undefined, reader: Reader): string {
  const control = char === undefined ? undefined : ESCAPED_CONTROLS.get(char)
  if (control !== undefined) {
    return control
  }
  if (char === undefined || /[^\0-\x7f]|[0-9A-Za-z]/u.test(char)) {
    throw reader.fail()
  }
  return quoteLiteral(char)
}

function quoteLiteral(char: string): string {
  return /[\^$\\.*+?()[\]{}|/-]/.test(char) ? `\\${char}` : char
}

/** What follows `[`: the first `]` may be literal, `[` is literal, everything else as in JavaScript. */
function translateClass(reader: Reader): string {
  let translated = '['
  if (reader.peek() === '^') {
    reader.next()
    translated += '^'
  }
  for (let isFirst = true; ; isFirst = false) {
    const char = reader.next()
    if (char === undefined) {
      throw reader.fail()
    }
    if (char === ']' && !isFirst) {
      return `${translated}]`
    }
    translated += translateClassItem(char, reader)
  }
}

function translateClassItem(char: string, reader: Reader): string {
  if (char === '[' && reader.peek() === ':') {
    return translateNamedClass(reader)
  }
  if (char === '\\') {
    const escaped = reader.next()
    const set = escaped === undefined ? undefined : ESCAPED_SETS.get(escaped)
    return set ?? translateEscapedLiteral(escaped, reader)
  }
  return char === '-' ? translateHyphen(reader) : quoteLiteral(char)
}

/** A hyphen between two items makes a range; RE2 takes it literally at the end only. */
function translateHyphen(reader: Reader): string {
  return reader.peek() === ']' ? '\\-' : '-'
}

function translateNamedClass(reader: Reader): string {
  reader.next()
  const name = reader.takeUntil(':]')
  if (name === undefined) {
    return '\\[:'
  }
  const set = NAMED_CLASSES.get(name)
  if (set === undefined) {
    throw reader.fail()
  }
  return set
}
