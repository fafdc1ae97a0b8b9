import { isBlank } from './blanks.ts'
import type { Variables } from './environment.ts'
import { ADDED_LENGTH_MAX, ExpansionError, tooLong } from './expansion-error.ts'
import { goQuote } from './go-format.ts'
import type { DollarReader } from './variables.ts'
import { substitute } from './variables.ts'

/** Character that escapes the next one and, at the end of a line, continues it. */
export type EscapeToken = '\\' | '`'

export interface WordOptions {
  readonly escape: EscapeToken
  /** Quotes stay in the result. */
  readonly keepsQuotes?: boolean
  /** Escape characters stay in the result. */
  readonly keepsEscapes?: boolean
  /** Quotes are ordinary characters: for heredoc bodies. */
  readonly ignoresQuotes?: boolean
  /** A variable that is not set stays as it is written. */
  readonly keepsUnset?: boolean
}

/** A word after expansion, and what the expansion looked at. */
export interface Expansion {
  readonly text: string
  /** The same split at blanks outside quotes. */
  readonly words: readonly string[]
  /** Variables that were read and are set. */
  readonly used: ReadonlySet<string>
  /** Variables that were read and are not set. */
  readonly missing: ReadonlySet<string>
}

/** Substitutions inside substitutions: more is a mistake or an attack on the stack. */
const NESTING_MAX = 100

/** Characters that are never looked at one by one: no quote, escape, `$`, `<`, blank, or end of an operand. */
const PLAIN = /[^$'"\\`<}/\s\u0085]+/y
const NEVER_SPECIAL = /^[^$'"\\`<\s]*$/
const NOTHING: ReadonlySet<string> = new Set()

/**
 * Expands variables in a word and removes quotes and escapes, like a shell that knows a little (features rows D30-D35).
 * Throws ExpansionError.
 */
export function expandWord(text: string, variables: Variables, options: WordOptions): Expansion {
  // Files that were put together have byte order marks inside; BuildKit's scanner drops one before a word.
  const word = text.startsWith('\ufeff') ? text.slice(1) : text
  if (NEVER_SPECIAL.test(word)) {
    return { text: word, words: word === '' ? [] : [word], used: NOTHING, missing: NOTHING }
  }
  const lexer = new WordLexer(word, variables, options)
  try {
    const result = lexer.readUntil(undefined, options.keepsEscapes ?? false)
    return { ...result, used: lexer.used, missing: lexer.missing }
  } catch (error) {
    if (!(error instanceof ExpansionError)) throw error
    throw new ExpansionError(`failed to process ${goQuote(word)}: ${error.message}`, lexer.missing)
  }
}

/** Collects words from characters that may (`add`) or may not (`addRaw`) separate them. */
class WordCollector {
  readonly words: string[] = []
  #current = ''

  add(text: string): void {
    for (const char of text) {
      if (isBlank(char)) this.finish()
      else this.#current += char
    }
  }

  addRaw(text: string): void {
    this.#current += text
  }

  finish(): readonly string[] {
    if (this.#current !== '') this.words.push(this.#current)
    this.#current = ''
    return this.words
  }
}

/** One pass over a word; `substitute` reads on where a `$` is met. */
class WordLexer implements DollarReader {
  readonly used: Set<string> = new Set()
  readonly missing: Set<string> = new Set()
  readonly options: WordOptions
  readonly #source: string
  readonly #variables: Variables
  #at = 0
  #depth = 0
  #added = 0
  #keepsEscapes = false

  constructor(source: string, variables: Variables, options: WordOptions) {
    this.#source = source
    this.#variables = variables
    this.options = options
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#source.length
  }

  /** The next character; empty at the end. */
  peek(): string {
    return this.#source.charAt(this.#at)
  }

  next(): string {
    const char = this.#source.charAt(this.#at)
    this.#at++
    return char
  }

  /** The next whole code point, not consumed. */
  peekCodePoint(): string {
    const code = this.#source.codePointAt(this.#at)
    return code === undefined ? '' : String.fromCodePoint(code)
  }

  skip(length: number): void {
    this.#at += length
  }

  lookUp(name: string): string | undefined {
    const value = this.#variables.get(name)
    if (value === undefined) this.missing.add(name)
    else this.used.add(name)
    return value
  }

  /** Reads up to and past `stop` (or to the end). */
  readUntil(
    stop: string | undefined,
    keepsEscapes: boolean,
  ): { readonly text: string; readonly words: readonly string[] } {
    if (++this.#depth > NESTING_MAX) throw new ExpansionError('substitutions are nested too deeply')
    const outer = this.#keepsEscapes
    this.#keepsEscapes = keepsEscapes
    const collector = new WordCollector()
    let text = ''
    while (!this.isAtEnd) {
      if (stop !== undefined && this.peek() === stop) {
        this.next()
        this.#keepsEscapes = outer
        this.#depth--
        return { text, words: collector.finish() }
      }
      text += this.#readOne(collector)
    }
    if (stop !== undefined) {
      throw new ExpansionError(`unexpected end of statement while looking for matching ${stop}`)
    }
    this.#depth--
    return { text, words: collector.finish() }
  }

  #substitute(): string {
    const value = substitute(this)
    this.#added += value.length
    if (this.#added > ADDED_LENGTH_MAX) throw tooLong()
    return value
  }

  #readPlain(): string {
    PLAIN.lastIndex = this.#at
    const text = PLAIN.exec(this.#source)?.[0] ?? ''
    this.#at += text.length
    return text
  }

  #readOne(collector: WordCollector): string {
    const char = this.peek()
    if (char === '$') {
      const value = this.#substitute()
      collector.add(value)
      return value
    }
    const plain = this.#readPlain()
    if (plain !== '') {
      collector.addRaw(plain)
      return plain
    }
    const special = this.#readSpecial(char)
    if (special !== undefined) {
      collector.addRaw(special)
      return special
    }
    this.next()
    if (char !== this.options.escape) {
      collector.add(char)
      return char
    }
    // An escape at the very end is dropped.
    const escaped = this.isAtEnd ? '' : this.next()
    const kept = this.#keepsEscapes ? char + escaped : escaped
    collector.addRaw(kept)
    return kept
  }

  #readSpecial(char: string): string | undefined {
    if (char === '<') return this.#readAngle()
    if (this.options.ignoresQuotes) return undefined
    if (char === "'") return this.#readSingleQuoted()
    return char === '"' ? this.#readDoubleQuoted() : undefined
  }

  #readSingleQuoted(): string {
    const end = this.#source.indexOf("'", this.#at + 1)
    if (end < 0) {
      throw new ExpansionError(
        'unexpected end of statement while looking for matching single-quote',
      )
    }
    const inner = this.#source.slice(this.#at + 1, end)
    this.#at = end + 1
    return this.options.keepsQuotes ? `'${inner}'` : inner
  }

  #readDoubleQuoted(): string {
    const quote = this.options.keepsQuotes ? '"' : ''
    let text = quote
    this.next()
    while (!this.isAtEnd) {
      const char = this.peek()
      if (char === '$') text += this.#substitute()
      else {
        this.next()
        if (char === '"') return text + quote
        text += char === this.options.escape ? this.#escapedInQuotes(char) : char
      }
    }
    throw new ExpansionError('unexpected end of statement while looking for matching double-quote')
  }

  // Inside double quotes the escape character is special only before `"`, `$` and itself.
  #escapedInQuotes(token: string): string {
    const kept = this.#keepsEscapes ? token : ''
    if (this.isAtEnd) return kept
    const next = this.peek()
    if (next !== '"' && next !== '$' && next !== token) return kept + token
    this.next()
    return kept + next
  }

  // `<< word`: the blanks belong to the word, so that a heredoc stays in one piece.
  #readAngle(): string {
    this.next()
    if (this.peek() !== '<') return '<'
    this.next()
    let text = '<<'
    while (!this.isAtEnd && (this.peek() === ' ' || this.peek() === '\t' || this.peek() === '\r')) {
      text += this.next()
    }
    return text
  }
}
