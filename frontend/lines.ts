import { trimBlanks, trimStartBlanks } from './blanks.ts'
import { lineRange, type Range } from './diagnostics.ts'
import type { Directive } from './directives.ts'
import { DirectiveReader } from './directives.ts'
import type { DockerfileErrorDetails } from './errors.ts'
import { DockerfileError } from './errors.ts'
import type { Heredoc, HeredocStart } from './heredoc.ts'
import { heredocStartsOfLine } from './heredoc.ts'
import { ExpansionError } from './expansion-error.ts'
import type { EscapeToken } from './words.ts'

/** One instruction as text: continued lines joined, comments dropped, heredocs attached. */
export interface LogicalLine {
  readonly text: string
  /** From the first character to the end of the last line (heredocs included). */
  readonly range: Range
  /** Comments above the instruction, without `#`; an empty comment line forgets the ones before it. */
  readonly comments: readonly string[]
  readonly heredocs: readonly Heredoc[]
  /** Last line before the heredocs, when a blank line stands inside the continued instruction (features row D14). */
  readonly emptyContinuationLine: number | undefined
}

/** The whole text, read. */
export interface ScannedText {
  readonly lines: readonly LogicalLine[]
  readonly directives: readonly Directive[]
  readonly escape: EscapeToken
  readonly errors: readonly DockerfileError[]
}

/** Longest physical line in bytes: the read buffer of BuildKit's parser (features row D4). */
const LINE_BYTES_MAX = 65_535

/** Splits a Dockerfile into logical lines by BuildKit's rules (features rows D3-D14, D20-D24). Linear in the text. */
export function scanLines(text: string): ScannedText {
  return new LineScanner(text).scan()
}

class LineScanner {
  readonly #text: string
  readonly #directives = new DirectiveReader()
  readonly #lines: LogicalLine[] = []
  readonly #errors: DockerfileError[] = []
  #escape: EscapeToken = '\\'
  #comments: string[] = []
  #at = 0
  #lineNumber = 0
  /** The line last taken, with its line end. */
  #line = ''

  constructor(text: string) {
    this.#text = text.startsWith('\ufeff') ? text.slice(1) : text
  }

  scan(): ScannedText {
    while (this.#take()) this.#readInstruction()
    const directives = this.#directives.found
    return { lines: this.#lines, directives, escape: this.#escape, errors: this.#errors }
  }

  /** Moves to the next physical line. */
  #take(): boolean {
    if (this.#at >= this.#text.length) return false
    const end = this.#text.indexOf('\n', this.#at)
    const next = end < 0 ? this.#text.length : end + 1
    this.#line = this.#text.slice(this.#at, next)
    this.#at = next
    this.#lineNumber++
    if (this.#line.length * 3 > LINE_BYTES_MAX) this.#checkLength()
    return true
  }

  #checkLength(): void {
    if (Buffer.byteLength(this.#line.replace(/\n$/, '')) <= LINE_BYTES_MAX) return
    const message = `dockerfile line greater than max allowed size of ${LINE_BYTES_MAX}`
    this.#fail(message, this.#lineNumber, this.#lineNumber)
  }

  #fail(
    message: string,
    startLine: number,
    endLine: number,
    details: Pick<DockerfileErrorDetails, 'focus' | 'related'> = {},
  ): void {
    const range = {
      startLine,
      startColumn: 0,
      endLine,
      endColumn: withoutLineEnd(this.#line).length,
    }
    this.#errors.push(new DockerfileError('syntax', message, { range, ...details }))
  }

  #readInstruction(): void {
    const startLine = this.#lineNumber
    const first = withoutLineEnd(this.#line)
    const trimmed = trimStartBlanks(first)
    const isDirective = this.#readDirective(trimmed)
    if (trimmed.startsWith('#')) {
      if (!isDirective) this.#readComment(first)
      return
    }
    const start = this.#cutContinuation(trimmed)
    if (!start.continues && start.text === '') return
    const { text, hasEmptyLine } = this.#readContinuation(start)
    const lastLine = this.#lineNumber
    const heredocs = this.#readHeredocs(text, startLine)
    this.#lines.push({
      text,
      range: {
        startLine,
        startColumn: first.length - trimmed.length,
        endLine: this.#lineNumber,
        endColumn: withoutLineEnd(this.#line).length,
      },
      comments: this.#comments,
      heredocs,
      emptyContinuationLine: hasEmptyLine ? lastLine : undefined,
    })
    this.#comments = []
  }

  #readDirective(line: string): boolean {
    const directive = this.#directives.read(line)
    if (directive === undefined) return false
    if ('fault' in directive) {
      const related = directive.first && {
        range: lineRange(directive.first.line),
        label: 'the first is here',
      }
      this.#fail(directive.fault, this.#lineNumber, this.#lineNumber, { related })
    } else if (directive.name === 'escape') this.#escape = directive.value === '`' ? '`' : '\\'
    return true
  }

  #readComment(line: string): void {
    const comment = trimBlanks(line.slice(1))
    if (comment === '') this.#comments = []
    else this.#comments.push(comment)
  }

  /** Joins the lines that `start` is continued by. A continuation at the end of the file is accepted. */
  #readContinuation(start: Cut): { readonly text: string; readonly hasEmptyLine: boolean } {
    const parts = [start.text]
    let continues = start.continues
    let hasEmptyLine = false
    while (continues && this.#take()) {
      const line = withoutLineEnd(this.#line)
      const content = trimStartBlanks(line)
      if (content.startsWith('#')) continue
      if (content === '') {
        hasEmptyLine = true
        continue
      }
      const cut = this.#cutContinuation(line)
      parts.push(cut.text)
      continues = cut.continues
    }
    return { text: parts.join(''), hasEmptyLine }
  }

  /**
   * The escape character continues a line when only spaces and tabs follow it and it is not escaped itself. Three of them
   * do not continue either: BuildKit's rule looks one character back only, and files depend on it (features row D13).
   */
  #cutContinuation(line: string): Cut {
    let end = line.length
    while (end > 0 && (line[end - 1] === ' ' || line[end - 1] === '\t')) end--
    const isEscape = end > 0 && line[end - 1] === this.#escape
    if (!isEscape || (end > 1 && line[end - 2] === this.#escape)) {
      return { text: line, continues: false }
    }
    return { text: line.slice(0, end - 1), continues: true }
  }

  #readHeredocs(text: string, startLine: number): Heredoc[] {
    const heredocs: Heredoc[] = []
    for (const start of this.#heredocStarts(text, startLine)) {
      const content = this.#readHeredocBody(start)
      if (content === undefined) {
        this.#fail('unterminated heredoc', startLine, this.#lineNumber, {
          focus: `<<${start.name}`,
        })
        break
      }
      heredocs.push({ ...start, content })
    }
    return heredocs
  }

  #heredocStarts(text: string, startLine: number): readonly HeredocStart[] {
    try {
      return heredocStartsOfLine(text, this.#escape)
    } catch (error) {
      if (!(error instanceof ExpansionError)) throw error
      this.#fail(error.message, startLine, this.#lineNumber)
      return []
    }
  }

  #readHeredocBody(start: HeredocStart): string | undefined {
    const parts: string[] = []
    while (this.#take()) {
      const line = withoutLineEnd(this.#line)
      const candidate = start.isChomped ? line.replace(/^\t+/, '') : line
      if (candidate === start.name) return parts.join('')
      parts.push(this.#line)
    }
    return undefined
  }
}

interface Cut {
  readonly text: string
  readonly continues: boolean
}

/** Without the line feed and carriage returns at the end. */
function withoutLineEnd(line: string): string {
  let end = line.length
  while (end > 0 && (line[end - 1] === '\n' || line[end - 1] === '\r')) end--
  return line.slice(0, end)
}
