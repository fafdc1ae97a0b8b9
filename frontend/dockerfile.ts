import { DockerfileError, DockerfileErrors } from './errors.ts'
import { lineRange } from './diagnostics.ts'
import type { Directive } from './directives.ts'
import { detectSyntax } from './directives.ts'
import type { ArgCommand } from './instructions/arg.ts'
import type { FromCommand } from './instructions/from.ts'
import type { Instruction } from './instructions/instruction.ts'
import type { Command } from './instructions/parse-instruction.ts'
import { parseInstruction } from './instructions/parse-instruction.ts'
import type { LogicalLine } from './lines.ts'
import { scanLines } from './lines.ts'
import { lintBefore, lintConfigOf } from './rules/lint.ts'
import { splitInstruction } from './split-instruction.ts'
import { withStaticFaults } from './static-faults.ts'
import type { EscapeToken } from './words.ts'

/** A stage: FROM and what follows it. */
export interface Stage {
  readonly from: FromCommand
  readonly commands: readonly Command[]
}

/** A Dockerfile that is free of syntax errors. */
export interface ParsedDockerfile {
  /** As messages show it. */
  readonly name: string
  readonly text: string
  readonly escape: EscapeToken
  readonly directives: readonly Directive[]
  /** ARG before the first FROM. */
  readonly globalArgs: readonly ArgCommand[]
  /** At least one. */
  readonly stages: readonly Stage[]
  /** Lines of instructions that hold a blank line in the middle of a continuation. */
  readonly emptyContinuationLines: readonly number[]
}

export interface ParseOptions {
  readonly name: string
  /** Build arg BUILDKIT_SYNTAX: wins over the directive (features row D8). */
  readonly syntax?: string | undefined
  /** Of the build: they may say which rules warn of what is above an error. */
  readonly buildArgs?: ReadonlyMap<string, string> | undefined
}

/** Official frontends read the language that this one reads. */
const OFFICIAL_SYNTAX =
  /^(?:(?:docker\.io|registry-1\.docker\.io|index\.docker\.io)\/)?docker\/dockerfile(?:-upstream)?(?:[:@].*)?$/

/**
 * Reads a Dockerfile. Throws DockerfileErrors with everything that is wrong in it: syntax, instructions, flags, arguments
 * (features rows D2-D29) and with the warnings of what is above it; a `# syntax=` that names another frontend is `unsupported`.
 */
export function parseDockerfile(text: string, options: ParseOptions): ParsedDockerfile {
  const { parsed, errors, refused } = readDockerfile(text, options)
  if (errors === undefined) return parsed
  const { list, fileName } = errors
  const config = lintConfigOf(parsed, options.buildArgs ?? new Map())
  throw new DockerfileErrors(list, fileName, text, lintBefore(errors, { parsed, refused, config }))
}

/** An instruction that is wrong, as far as rules look at it. */
export type RefusedInstruction = Pick<Instruction, 'name' | 'rest' | 'range' | 'comments'>

/** A file as far as it could be read. */
export interface ReadDockerfile {
  /** Without the instructions that are wrong. */
  readonly parsed: ParsedDockerfile
  readonly errors: DockerfileErrors | undefined
  readonly refused: readonly RefusedInstruction[]
}

/** As `parseDockerfile`, but a file with errors is given too. */
export function readDockerfile(text: string, options: ParseOptions): ReadDockerfile {
  const syntaxFault = checkSyntax(text, options.syntax)
  const scanned = scanLines(syntaxFault === undefined ? text : '')
  const errors = [...scanned.errors]
  const assembler = new StageAssembler(errors)
  for (const line of scanned.lines) assembler.add(line, scanned.escape)
  if (syntaxFault !== undefined) errors.push(syntaxFault)
  else if (text === '') errors.push(plain('no-stage', 'the Dockerfile cannot be empty'))
  else if (scanned.lines.length === 0) errors.push(noInstructions(text))
  else if (errors.length === 0 && assembler.stages.length === 0) {
    errors.push(plain('no-stage', 'dockerfile contains no stages to build'))
  }
  const parsed = {
    name: options.name,
    text,
    escape: scanned.escape,
    directives: scanned.directives,
    globalArgs: assembler.globalArgs,
    stages: assembler.stages,
    emptyContinuationLines: scanned.lines.flatMap((line) => line.emptyContinuationLine ?? []),
  }
  const { refused } = assembler
  if (errors.length === 0) return { parsed, errors: undefined, refused }
  const all = withStaticFaults(parsed, errors)
  return { parsed, errors: new DockerfileErrors(all, options.name, text), refused }
}

class StageAssembler {
  readonly globalArgs: ArgCommand[] = []
  readonly stages: { from: FromCommand; commands: Command[] }[] = []
  readonly refused: RefusedInstruction[] = []
  readonly #errors: DockerfileError[]
  /** A FROM that is wrong still begins a stage: what follows is not outside of one. */
  #hasSeenFrom = false

  constructor(errors: DockerfileError[]) {
    this.#errors = errors
  }

  add(line: LogicalLine, token: EscapeToken): void {
    const isFrom = /^\s*from(?:\s|$)/i.test(line.text)
    try {
      this.#addCommand(parseInstruction(line, token))
    } catch (error) {
      if (!(error instanceof DockerfileError)) throw error
      this.#errors.push(error)
      const { name, rest } = splitInstruction(line.text, token)
      this.refused.push({ name, rest, range: line.range, comments: line.comments })
    }
    this.#hasSeenFrom ||= isFrom
  }

  #addCommand(command: Command | FromCommand): void {
    const stage = this.stages.at(-1)
    if (command.kind === 'from') this.stages.push({ from: command, commands: [] })
    else if (stage !== undefined) stage.commands.push(command)
    else if (command.kind === 'arg' && !this.#hasSeenFrom) this.globalArgs.push(command)
    else if (!this.#hasSeenFrom) {
      throw new DockerfileError('no-stage', 'no build stage in current context', {
        range: command.range,
        focus: command.name,
      })
    }
  }
}

/** Instructions were looked for up to the last line. */
function noInstructions(text: string): DockerfileError {
  const lineCount = text.replace(/\n$/, '').split('\n').length
  return new DockerfileError('no-stage', 'file with no instructions', {
    range: lineRange(lineCount),
  })
}

function plain(code: 'no-stage', message: string): DockerfileError {
  return new DockerfileError(code, message, { range: undefined })
}

function checkSyntax(text: string, override: string | undefined): DockerfileError | undefined {
  const syntax = override ?? detectSyntax(text)
  if (syntax === undefined || syntax === '' || syntax === 'dockerfile.v0') return undefined
  if (OFFICIAL_SYNTAX.test(syntax)) return undefined
  const message =
    `syntax ${syntax} is not supported: only the built-in Dockerfile language ` +
    '(docker/dockerfile) is, other frontends are never run'
  const line = text.slice(0, Math.max(0, text.indexOf(syntax))).split('\n').length
  return new DockerfileError('unsupported', message, {
    range: override === undefined ? lineRange(line) : undefined,
    focus: syntax,
  })
}
