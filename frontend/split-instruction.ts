import { cutFirstWord, isBlank, trimBlanks } from './blanks.ts'
import type { EscapeToken } from './words.ts'

/** Neither blank, quote nor an escape character. */
const PLAIN = /[^\s\u0085'"\\`]+/y

/** An instruction taken apart: name, flags with their quotes removed, and the rest. */
export interface InstructionParts {
  /** As written. */
  readonly name: string
  /** `--name` or `--name=value` each. */
  readonly flags: readonly string[]
  readonly rest: string
}

/** Splits a logical line (features rows D15, D16). Never fails: every text has a first word. */
export function splitInstruction(line: string, token: EscapeToken): InstructionParts {
  const [name, args] = cutFirstWord(trimBlanks(line))
  if (args === undefined) return { name, flags: [], rest: '' }
  const { flags, rest } = splitFlags(args, token)
  return { name, flags, rest: trimBlanks(rest) }
}

/** Takes the words that begin with `--` off the front of `text`; a bare `--` ends them. */
function splitFlags(
  text: string,
  token: EscapeToken,
): { readonly flags: string[]; readonly rest: string } {
  const flags: string[] = []
  let at = 0
  for (;;) {
    while (at < text.length && isBlank(text.charAt(at))) at++
    if (!text.startsWith('--', at)) return { flags, rest: text.slice(at) }
    const word = readFlag(text, at, token)
    at = word.end
    if (word.text === '--') return { flags, rest: text.slice(at) }
    flags.push(word.text)
  }
}

function readFlag(
  text: string,
  start: number,
  token: EscapeToken,
): { readonly text: string; readonly end: number } {
  let out = ''
  let quote = ''
  let at = start
  for (; at < text.length; at++) {
    const char = text.charAt(at)
    if (quote === '' && isBlank(char)) break
    if (quote === '' && (char === '"' || char === "'")) quote = char
    else if (char === quote) quote = ''
    else if (char !== token) out += char
    else if (at + 1 < text.length) out += text.charAt(++at)
  }
  return { text: out, end: at }
}

/**
 * Words of ENV, LABEL and ARG: split at blanks outside quotes; quotes and escapes stay, for the expansion that comes later.
 */
export function splitQuotedWords(text: string, token: EscapeToken): string[] {
  const words: string[] = []
  let word = ''
  let quote = ''
  let at = 0
  while (at < text.length) {
    if (quote === '' && isBlank(text.charAt(at))) {
      if (word !== '') words.push(word)
      word = ''
      at++
      continue
    }
    const isEscape = quote !== "'" && text.charAt(at) === token
    const piece = isEscape ? text.slice(at, at + 2) : plainPiece(text, at)
    // An escape keeps the next character from being looked at; at the very end it is dropped.
    if (!isEscape || piece !== token) word += piece
    quote = toggled(quote, piece)
    at += piece.length
  }
  if (word !== '') words.push(word)
  return words
}

/** A quote, or a character with those after it that are special in no state. */
function plainPiece(text: string, at: number): string {
  const char = text.charAt(at)
  if (char === '"' || char === "'") return char
  PLAIN.lastIndex = at + 1
  return char + (PLAIN.exec(text)?.[0] ?? '')
}

/** The quote that is open behind `piece`. */
function toggled(quote: string, piece: string): string {
  if (piece !== '"' && piece !== "'") return quote
  if (quote === '') return piece
  return quote === piece ? '' : quote
}
