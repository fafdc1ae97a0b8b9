import { trimBlanks } from './blanks.ts'

/** A parser directive (`# key = value` at the top of the file; features row D6). */
export interface Directive {
  readonly name: DirectiveName
  readonly value: string
  /** 1-based. */
  readonly line: number
}

export type DirectiveName = 'syntax' | 'escape' | 'check'

const GRAMMAR = /^([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+)$/s

/** Why a directive line is refused. */
export interface DirectiveFault {
  readonly fault: string
  /** The one that it repeats. */
  readonly first?: Directive
}

/**
 * Reads directives line by line. The first line that is not a known directive ends them for good, so a directive below a
 * comment or a blank line is an ordinary comment.
 */
export class DirectiveReader {
  readonly found: Directive[] = []
  #isDone = false
  #line = 0

  /** The directive on the next line of the file; undefined when it is none. */
  read(line: string): Directive | DirectiveFault | undefined {
    this.#line++
    if (this.#isDone) return undefined
    const directive = parseDirective(line, '#', this.#line)
    if (directive === undefined) {
      this.#isDone = true
      return undefined
    }
    const first = this.found.find((other) => other.name === directive.name)
    if (first !== undefined) {
      return { fault: `only one ${directive.name} parser directive can be used`, first }
    }
    if (directive.name === 'escape' && directive.value !== '`' && directive.value !== '\\') {
      return { fault: `invalid escape token '${directive.value}' does not match \` or \\` }
    }
    this.found.push(directive)
    return directive
  }
}

/** The directive that `line` holds behind `mark`; unknown keys are none. */
export function parseDirective(line: string, mark: string, number: number): Directive | undefined {
  if (!line.startsWith(mark)) return undefined
  const match = GRAMMAR.exec(trimBlanks(line.slice(mark.length)))
  const name = match?.[1]?.toLowerCase()
  const value = match?.[2]
  if (value === undefined) return undefined
  if (name !== 'syntax' && name !== 'escape' && name !== 'check') return undefined
  return { name, value, line: number }
}

/**
 * The frontend image that the text asks for, also in the forms that BuildKit accepts for other languages: `// syntax=` and
 * JSON with a `syntax` key; a leading `#!` line is skipped (features row D8). Undefined when it asks for none.
 */
export function detectSyntax(text: string): string | undefined {
  const found = findDirective(text, 'syntax') ?? findDirective(text, 'syntax', '//')
  const value = found?.value ?? jsonSyntax(withoutShebang(text).body)
  return value?.split(' ', 1)[0]
}

/**
 * The directive `name` at the top of `text`, where the lines begin with `mark`. Unlike for the parser, which reads `escape`,
 * a leading `#!` line is no end of the directives (features row D8).
 */
export function findDirective(
  text: string,
  name: DirectiveName,
  mark: string = '#',
): Directive | undefined {
  const { body, lines } = withoutShebang(text)
  let number = lines
  let at = 0
  while (at < body.length) {
    number++
    const end = body.indexOf('\n', at)
    const line = body.slice(at, end < 0 ? body.length : end).replace(/\r$/, '')
    const directive = parseDirective(line, mark, number)
    if (directive === undefined || directive.name === name) return directive
    at = end < 0 ? body.length : end + 1
  }
  return undefined
}

function withoutShebang(text: string): { readonly body: string; readonly lines: number } {
  const body = text.replace(/^\ufeff/, '')
  const shebang = /^#!.*(?:\n|$)/.exec(body)?.[0]
  return shebang === undefined ? { body, lines: 0 } : { body: body.slice(shebang.length), lines: 1 }
}

function jsonSyntax(text: string): string | undefined {
  if (!text.trimStart().startsWith('{')) return undefined
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || !('syntax' in value)) return undefined
    return typeof value.syntax === 'string' ? value.syntax : undefined
  } catch {
    // Not JSON: then it asks for nothing.
    return undefined
  }
}
