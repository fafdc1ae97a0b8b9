import { ContextError } from './errors.ts'
import { compilePieces, type RegexpPiece } from './regexp-pieces.ts'

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

const ASSERTION_SOURCES: ReadonlySet<string> = new Set(['^', '$', '\\b', '\\B'])

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

/** The only group that an expression may have. */
const ANY_DEPTH = '(.*/)?'

/**
 * A regular expression in the syntax of Go's `regexp`, as far as ignore patterns can hold one: they are turned into Go
 * expressions with character classes and escapes passed on as they are (features row D126). Fails with `bad-pattern`
 * where Go fails; `pattern` is what the message names. Like Go's, and other than JavaScript's, it never takes more time
 * than length of the expression times length of the path.
 */
export function compileGoRegexp(source: string, pattern: string): (path: string) => boolean {
  const reader = new Reader(Array.from(source), pattern)
  const pieces = readPieces(reader)
  try {
    return compilePieces(pieces)
  } catch (error) {
    throw reader.fail(error)
  }
}

/** The expression as a sequence: groups there are none but `(.*\/)?`, and only single characters are repeated. */
function readPieces(reader: Reader): RegexpPiece[] {
  const pieces: RegexpPiece[] = []
  for (let char = reader.next(); char !== undefined; char = reader.next()) {
    if (char === '(') {
      reader.skip(ANY_DEPTH.length - 1)
      pieces.push({ kind: 'any-depth' })
      continue
    }
    const source = translateChar(char, reader)
    if (reader.peek() === '*') {
      reader.next()
      pieces.push({ kind: 'repeat', source })
    } else {
      pieces.push({ kind: ASSERTION_SOURCES.has(source) ? 'assertion' : 'one', source })
    }
  }
  return pieces
}

function translateChar(char: string, reader: Reader): string {
  switch (char) {
    case '\\':
      return translateEscape(reader)
    case '[':
      return translateClass(reader)
    case '.':
      return '[^\\n]'
    case ']':
      return '\\]'
    default:
      return char
  }
}

class Reader {
  readonly #chars: readonly string[]
  readonly #pattern: string
  #position = 0
  /** False when no `:]` follows any more: it is looked for once only. */
  #hasClassName = true

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

  skip(count: number): void {
    this.#position += count
  }

  /** The text before the next `:]`, which is consumed too; undefined (and nothing consumed) when none follows. */
  takeClassName(): string | undefined {
    if (!this.#hasClassName) {
      return undefined
    }
    let end = this.#position
    while (
      end < this.#chars.length &&
      !(this.#chars[end] === ':' && this.#chars[end + 1] === ']')
    ) {
      end += 1
    }
    if (end === this.#chars.length) {
      this.#hasClassName = false
      return undefined
    }
    const name = this.#chars.slice(this.#position, end).join('')
    this.#position = end + 2
    return name
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
  return assertion ?? translateEscapedLiteral(char, reader, false)
}

/** A character that an escape stands for: a control character or ASCII punctuation; RE2 refuses all others. */
function translateEscapedLiteral(
  char: string | undefined,
  reader: Reader,
  isInClass: boolean,
): string {
  const control = char === undefined ? undefined : ESCAPED_CONTROLS.get(char)
  if (control !== undefined) {
    return control
  }
  if (char === undefined || /[^\0-\x7f]|[0-9A-Za-z]/u.test(char)) {
    throw reader.fail()
  }
  // Outside of a class JavaScript knows no escaped hyphen.
  return char === '-' && !isInClass ? char : quoteLiteral(char)
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
    return set ?? translateEscapedLiteral(escaped, reader, true)
  }
  return char === '-' ? translateHyphen(reader) : quoteLiteral(char)
}

/** A hyphen between two items makes a range; RE2 takes it literally at the end only. */
function translateHyphen(reader: Reader): string {
  return reader.peek() === ']' ? '\\-' : '-'
}

function translateNamedClass(reader: Reader): string {
  reader.next()
  const name = reader.takeClassName()
  if (name === undefined) {
    return '\\[:'
  }
  const set = NAMED_CLASSES.get(name)
  if (set === undefined) {
    throw reader.fail()
  }
  return set
}
