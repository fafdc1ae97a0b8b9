import { trimBlanks } from '../blanks.ts'
import type { Range } from '../diagnostics.ts'
import type { DockerfileErrorCode } from '../errors.ts'
import { DockerfileError } from '../errors.ts'
import type { FlagKind, Flags } from '../flags.ts'
import { readFlags } from '../flags.ts'
import type { Heredoc } from '../heredoc.ts'
import type { EscapeToken } from '../words.ts'

/** An instruction taken apart, before its own rules are applied. */
export interface Instruction {
  /** As written, e.g. `Run`. */
  readonly name: string
  readonly flags: readonly string[]
  /** What follows the flags, trimmed. */
  readonly rest: string
  /** The whole logical line. */
  readonly code: string
  readonly range: Range
  readonly comments: readonly string[]
  readonly heredocs: readonly Heredoc[]
  readonly escape: EscapeToken
}

/** What every command keeps of its instruction. */
export interface CommandBase {
  /** As written: rules look at its case. */
  readonly name: string
  /** The logical line, trimmed: step titles show it. */
  readonly code: string
  readonly range: Range
  readonly comments: readonly string[]
}

export function commandBase(instruction: Instruction): CommandBase {
  const { name, range, comments } = instruction
  return { name, code: trimBlanks(instruction.code), range, comments }
}

export interface FaultDetails {
  readonly focus?: string | undefined
  readonly suggestion?: string | undefined
  readonly code?: DockerfileErrorCode
}

/** The error for an instruction that breaks a rule, in BuildKit's words. */
export function instructionError(
  instruction: Instruction,
  message: string,
  details: FaultDetails = {},
): DockerfileError {
  const line = instruction.range.startLine
  return new DockerfileError(
    details.code ?? 'bad-argument',
    `dockerfile parse error on line ${line}: ${message}`,
    { range: instruction.range, focus: details.focus, suggestion: details.suggestion },
  )
}

/** Reads the flags; throws DockerfileError `bad-flag`. Instructions without flags accept none. */
export function flagsOf(
  instruction: Instruction,
  accepted: Readonly<Record<string, FlagKind>> = {},
): Flags {
  const flags = readFlags(instruction.flags, accepted)
  if (!('fault' in flags)) return flags
  const { fault, focus, suggestion } = flags
  throw instructionError(instruction, fault, { code: 'bad-flag', focus, suggestion })
}

/** The rest as the one argument; throws `bad-argument` when there is none. */
export function onlyArgument(instruction: Instruction): string {
  if (instruction.rest !== '') return instruction.rest
  throw instructionError(
    instruction,
    `${instruction.name.toUpperCase()} requires exactly one argument`,
  )
}

export function needsArgument(instruction: Instruction): DockerfileError {
  return instructionError(
    instruction,
    `${instruction.name.toUpperCase()} requires at least one argument`,
  )
}
