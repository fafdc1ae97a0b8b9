import { NO_VARIABLES } from './environment.ts'
import { splitInstruction } from './split-instruction.ts'
import { ExpansionError } from './expansion-error.ts'
import { expandWord } from './words.ts'
import type { EscapeToken } from './words.ts'
import { readExecForm } from './exec-form.ts'

/** The opening of a heredoc: `<<EOF`, `3<<-'EOF'` (features rows D20-D23). */
export interface HeredocStart {
  /** The delimiter, without quotes. */
  readonly name: string
  /** False when a part of the delimiter was quoted. */
  readonly isExpanded: boolean
  /** `<<-`: leading tabs go. */
  readonly isChomped: boolean
}

/** A heredoc with its body as it stands in the file: every line with its line end, without the terminator. */
export interface Heredoc extends HeredocStart {
  readonly content: string
}

const OPENING = /^\d*<<(-?)\s*([^<]*)$/
const TAKES_HEREDOC: ReadonlySet<string> = new Set(['run', 'copy', 'add'])

/** The heredoc that `word` opens, or undefined. Throws ExpansionError when its delimiter has unbalanced quotes. */
export function parseHeredocStart(word: string): HeredocStart | undefined {
  const match = OPENING.exec(word)
  const rest = match?.[2]
  if (rest === undefined || rest === '') return undefined
  const lex = { escape: '\\', keepsUnset: true } as const
  const words = expandWord(rest, NO_VARIABLES, lex).words
  const raw = expandWord(rest, NO_VARIABLES, { ...lex, keepsQuotes: true }).words
  const name = words[0]
  if (name === undefined || words.length !== 1 || raw.length !== 1) return undefined
  return {
    name,
    isExpanded: countQuotes(name) === countQuotes(raw[0] ?? ''),
    isChomped: match?.[1] === '-',
  }
}

/** As `parseHeredocStart`; a malformed delimiter is no heredoc. */
export function heredocStartOf(word: string): HeredocStart | undefined {
  if (!word.includes('<<')) return undefined
  try {
    return parseHeredocStart(word)
  } catch (error) {
    if (error instanceof ExpansionError) return undefined
    throw error
  }
}

function countQuotes(text: string): number {
  return text.replace(/[^'"]/g, '').length
}

/**
 * Heredocs that the instruction on `line` opens, in order. Only RUN, COPY and ADD (also behind ONBUILD) in shell form open
 * any. Throws ExpansionError for a delimiter with unbalanced quotes.
 */
export function heredocStartsOfLine(line: string, token: EscapeToken): HeredocStart[] {
  if (!line.includes('<<') || !canHoldHeredoc(line, token)) return []
  const starts: HeredocStart[] = []
  for (const word of wordsOf(line)) {
    const start = parseHeredocStart(word)
    if (start !== undefined) starts.push(start)
  }
  return starts
}

function canHoldHeredoc(line: string, token: EscapeToken): boolean {
  let parts = splitInstruction(line, token)
  if (parts.name.toLowerCase() === 'onbuild') parts = splitInstruction(parts.rest, token)
  if (!TAKES_HEREDOC.has(parts.name.toLowerCase())) return false
  return readExecForm(parts.rest).kind === 'shell'
}

// Words are found with `\` as escape whatever the directive says (features row D9). A line with unbalanced quotes has none.
function wordsOf(line: string): readonly string[] {
  const options = { escape: '\\', keepsQuotes: true, keepsEscapes: true, keepsUnset: true } as const
  try {
    return expandWord(line, NO_VARIABLES, options).words
  } catch (error) {
    if (error instanceof ExpansionError) return []
    throw error
  }
}

/** The body without the tabs that begin its lines. */
export function chompHeredoc(content: string): string {
  return content.replace(/^\t+/gm, '')
}
