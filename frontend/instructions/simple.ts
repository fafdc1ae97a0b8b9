import { WORD_SEPARATOR } from '../blanks.ts'
import { readCommandLine, readList } from './command-line.ts'
import type { CommandLine } from './command-line.ts'
import type { CommandBase, Instruction } from './instruction.ts'
import {
  commandBase,
  flagsOf,
  instructionError,
  needsArgument,
  onlyArgument,
} from './instruction.ts'

/** Instructions whose whole rest is one value. */
export interface TextCommand extends CommandBase {
  readonly kind: 'workdir' | 'user' | 'stopsignal' | 'maintainer'
  readonly value: string
}

/** CMD and ENTRYPOINT. */
export interface ProcessCommand extends CommandBase {
  readonly kind: 'cmd' | 'entrypoint'
  readonly command: CommandLine
}

/** Instructions that are a list of words. */
export interface ListCommand extends CommandBase {
  readonly kind: 'expose' | 'volume' | 'shell'
  readonly values: readonly string[]
}

export function parseText(instruction: Instruction, kind: TextCommand['kind']): TextCommand {
  const value = onlyArgument(instruction)
  // STOPSIGNAL, like ARG and HEALTHCHECK NONE, looks at no flags (as in BuildKit).
  if (kind !== 'stopsignal') flagsOf(instruction)
  return { ...commandBase(instruction), kind, value }
}

export function parseProcess(
  instruction: Instruction,
  kind: ProcessCommand['kind'],
): ProcessCommand {
  flagsOf(instruction)
  const command = readCommandLine(instruction, instruction.rest)
  return { ...commandBase(instruction), kind, command }
}

/** Ports are sorted as text, before expansion, because BuildKit's history shows them so. */
export function parseExpose(instruction: Instruction): ListCommand {
  if (instruction.rest === '') throw needsArgument(instruction)
  flagsOf(instruction)
  const values = instruction.rest.split(WORD_SEPARATOR).sort()
  return { ...commandBase(instruction), kind: 'expose', values }
}

export function parseVolume(instruction: Instruction): ListCommand {
  const values = readList(instruction, instruction.rest).map((value) => value.trim())
  if (values.length === 0) throw needsArgument(instruction)
  flagsOf(instruction)
  if (values.includes('')) {
    throw instructionError(instruction, 'VOLUME specified can not be an empty string')
  }
  return { ...commandBase(instruction), kind: 'volume', values }
}

/** SHELL takes the JSON form only (features row D83). */
export function parseShell(instruction: Instruction): ListCommand {
  flagsOf(instruction)
  const { args, isShellForm } = readCommandLine(instruction, instruction.rest)
  if (args.length === 0) throw needsArgument(instruction)
  if (isShellForm) {
    throw instructionError(
      instruction,
      `SHELL requires the arguments to be in JSON form. ${example(instruction.rest)}`,
    )
  }
  return { ...commandBase(instruction), kind: 'shell', values: args }
}

function example(rest: string): string {
  const words = rest
    .replace(/[[\]"',]/g, ' ')
    .trim()
    .split(/\s+/)
  return `It should probably be: SHELL ${JSON.stringify(words)}`
}
