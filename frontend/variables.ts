import { parseGlobText, replaceGlob, trimGlobPrefix, trimGlobSuffix } from './glob-text.ts'
import type { GlobText } from './glob-text.ts'
import { ADDED_LENGTH_MAX, ExpansionError, tooLong } from './expansion-error.ts'

/** The lexer as `$` forms need it. */
export interface DollarReader {
  readonly options: { readonly keepsUnset?: boolean }
  readonly isAtEnd: boolean
  /** The next character; empty at the end. */
  peek(): string
  next(): string
  /** The next whole code point, not consumed. */
  peekCodePoint(): string
  skip(length: number): void
  /** The value of a variable; notes whether it was there. */
  lookUp(name: string): string | undefined
  /** Expands up to and past `stop`. */
  readUntil(stop: string, keepsEscapes: boolean): { readonly text: string }
}

const SPECIAL_NAMES = '@*#?-$!0'
/** ASCII apart: the classes of Unicode cost milliseconds when they are first used. */
const DIGIT: CharacterClass = { ascii: /[0-9]/, all: /\p{Nd}/u }
const NAME_CHARACTER: CharacterClass = { ascii: /[A-Za-z0-9_]/, all: /[\p{L}\p{Nd}_]/u }

interface CharacterClass {
  readonly ascii: RegExp
  readonly all: RegExp
}

function belongs(char: string, to: CharacterClass): boolean {
  return char <= '\x7f' ? to.ascii.test(char) : to.all.test(char)
}

/**
 * Reads one `$` form at the lexer's place and gives its value (features rows D30-D34). Throws ExpansionError for forms that
 * are malformed and for `${name?}` without a value.
 */
export function substitute(lexer: DollarReader): string {
  lexer.next()
  if (lexer.peek() !== '{') return plainName(lexer)
  lexer.next()
  if (lexer.isAtEnd) throw new ExpansionError("syntax error: missing '}'")
  if ('{}:'.includes(lexer.peek())) throw new ExpansionError('syntax error: bad substitution')
  const name = readName(lexer)
  const modifier = lexer.next()
  switch (modifier) {
    case '}':
      return lexer.lookUp(name) ?? (lexer.options.keepsUnset ? `\${${name}}` : '')
    case ':':
      return afterColon(lexer, name)
    case '+':
    case '-':
    case '?':
      return conditional(lexer, { name, modifier, written: modifier, emptyIsUnset: false })
    case '#':
    case '%':
      return trim(lexer, name, modifier)
    case '/':
      return replace(lexer, name)
    case '':
      throw new ExpansionError("unsupported modifier () in substitution: missing '}'")
    default:
      throw new ExpansionError(`unsupported modifier (${modifier}) in substitution`)
  }
}

function plainName(lexer: DollarReader): string {
  const name = readName(lexer)
  if (name === '') return '$'
  return lexer.lookUp(name) ?? (lexer.options.keepsUnset ? `$${name}` : '')
}

/** Letters, digits and `_`; only digits when it begins with one; or one special parameter. */
function readName(lexer: DollarReader): string {
  const first = lexer.peekCodePoint()
  if (first === '') return ''
  if (belongs(first, DIGIT)) return readWhile(lexer, DIGIT)
  if (SPECIAL_NAMES.includes(first)) return lexer.next()
  return readWhile(lexer, NAME_CHARACTER)
}

function readWhile(lexer: DollarReader, characters: CharacterClass): string {
  let text = ''
  while (!lexer.isAtEnd) {
    const char = lexer.peekCodePoint()
    if (!belongs(char, characters)) break
    text += char
    lexer.skip(char.length)
  }
  return text
}

function afterColon(lexer: DollarReader, name: string): string {
  const modifier = lexer.next()
  if (modifier === '+' || modifier === '-' || modifier === '?') {
    return conditional(lexer, { name, modifier, written: `:${modifier}`, emptyIsUnset: true })
  }
  const fault = `unsupported modifier (:${modifier}) in substitution`
  if (modifier === '#' || modifier === '%') throw new ExpansionError(fault)
  // `${x:0:3}` is the shell's business where it only passes through: in a RUN with heredocs, and in titles.
  const word = readOperand(lexer, '}', false)
  if (lexer.lookUp(name) !== undefined || !lexer.options.keepsUnset) throw new ExpansionError(fault)
  return `\${${name}:${modifier}${word}}`
}

interface Conditional {
  readonly name: string
  readonly modifier: '+' | '-' | '?'
  readonly written: string
  readonly emptyIsUnset: boolean
}

function conditional(lexer: DollarReader, form: Conditional): string {
  const word = readOperand(lexer, '}', false)
  const value = lexer.lookUp(form.name)
  if (value === undefined && lexer.options.keepsUnset) {
    return `\${${form.name}${form.written}${word}}`
  }
  const isMissing = value === undefined || (form.emptyIsUnset && value === '')
  switch (form.modifier) {
    case '-':
      return isMissing ? word : value
    case '+':
      return isMissing ? '' : word
    case '?': {
      if (!isMissing) return value
      const state = value === undefined ? 'unset' : 'empty'
      const reason = word === '' ? `is not allowed to be ${state}` : word
      throw new ExpansionError(`${form.name}: ${reason}`)
    }
  }
}

function trim(lexer: DollarReader, name: string, modifier: '#' | '%'): string {
  const word = readOperand(lexer, '}', true)
  const value = lexer.lookUp(name)
  if (value === undefined && lexer.options.keepsUnset) return `\${${name}${modifier}${word}}`
  const isGreedy = word.startsWith(modifier)
  const glob = readGlob(isGreedy ? word.slice(1) : word)
  return modifier === '#'
    ? trimGlobPrefix(glob, value ?? '', isGreedy)
    : trimGlobSuffix(glob, value ?? '', isGreedy)
}

function replace(lexer: DollarReader, name: string): string {
  const isGlobal = lexer.peek() === '/'
  if (isGlobal) lexer.next()
  const pattern = readOperand(lexer, '/', true)
  const text = readOperand(lexer, '}', true)
  const value = lexer.lookUp(name)
  if (value === undefined && lexer.options.keepsUnset) return `\${${name}/${pattern}/${text}}`
  let added = 0
  const replacement = (match: string) => {
    added += text.length
    if (added > ADDED_LENGTH_MAX) throw tooLong()
    return isGlobal ? expandTemplate(text, match) : text
  }
  return replaceGlob(readGlob(pattern), value ?? '', { replacement, isGlobal })
}

/** `${x//p/r}` goes through Go's regexp templates in BuildKit: `$0` is the match, other groups are empty. */
function expandTemplate(template: string, match: string): string {
  return template.replace(/\$(?:\$|(\w+)|\{(\w+)\})/g, (whole, plain?: string, braced?: string) => {
    if (whole === '$$') return '$'
    return (plain ?? braced) === '0' ? match : ''
  })
}

function readOperand(lexer: DollarReader, stop: '}' | '/', keepsEscapes: boolean): string {
  try {
    return lexer.readUntil(stop, keepsEscapes).text
  } catch (error) {
    if (!(error instanceof ExpansionError) || !lexer.isAtEnd) throw error
    const where = stop === '/' ? "'/' in \u0024{}" : "'}'"
    throw new ExpansionError(`syntax error: missing ${where}`)
  }
}

function readGlob(pattern: string): GlobText {
  const glob = parseGlobText(pattern)
  if ('badEscape' in glob) {
    throw new ExpansionError(
      `invalid pattern (${pattern}) in substitution: invalid escape '${glob.badEscape}'`,
    )
  }
  return glob
}
