import type { DockerfileError } from '../errors.ts'
import type { LogicalLine } from '../lines.ts'
import { splitInstruction } from '../split-instruction.ts'
import { suggest } from '../suggest.ts'
import type { EscapeToken } from '../words.ts'
import type { ArgCommand } from './arg.ts'
import { parseArg } from './arg.ts'
import type { AddCommand, CopyCommand } from './copy.ts'
import { parseAdd, parseCopy } from './copy.ts'
import type { FromCommand } from './from.ts'
import { parseFrom } from './from.ts'
import type { HealthcheckCommand } from './healthcheck.ts'
import { parseHealthcheck } from './healthcheck.ts'
import type { Instruction } from './instruction.ts'
import { instructionError } from './instruction.ts'
import type { OnbuildCommand } from './onbuild.ts'
import { parseOnbuild } from './onbuild.ts'
import type { PairsCommand } from './pairs.ts'
import { parsePairs } from './pairs.ts'
import type { RunCommand } from './run.ts'
import { parseRun } from './run.ts'
import type { ListCommand, ProcessCommand, TextCommand } from './simple.ts'
import { parseExpose, parseProcess, parseShell, parseText, parseVolume } from './simple.ts'

/** A command of a stage. */
export type Command =
  | AddCommand
  | ArgCommand
  | CopyCommand
  | HealthcheckCommand
  | ListCommand
  | OnbuildCommand
  | PairsCommand
  | ProcessCommand
  | RunCommand
  | TextCommand

const PARSERS: ReadonlyMap<string, (instruction: Instruction) => Command | FromCommand> = new Map<
  string,
  (instruction: Instruction) => Command | FromCommand
>([
  ['add', parseAdd],
  ['arg', parseArg],
  ['cmd', (instruction) => parseProcess(instruction, 'cmd')],
  ['copy', parseCopy],
  ['entrypoint', (instruction) => parseProcess(instruction, 'entrypoint')],
  ['env', (instruction) => parsePairs(instruction, 'env')],
  ['expose', parseExpose],
  ['from', parseFrom],
  ['healthcheck', parseHealthcheck],
  ['label', (instruction) => parsePairs(instruction, 'label')],
  ['maintainer', (instruction) => parseText(instruction, 'maintainer')],
  ['onbuild', parseOnbuild],
  ['run', parseRun],
  ['shell', parseShell],
  ['stopsignal', (instruction) => parseText(instruction, 'stopsignal')],
  ['user', (instruction) => parseText(instruction, 'user')],
  ['volume', parseVolume],
  ['workdir', (instruction) => parseText(instruction, 'workdir')],
])

/** Reads one logical line. Throws DockerfileError. */
export function parseInstruction(line: LogicalLine, token: EscapeToken): Command | FromCommand {
  const { range, comments, heredocs } = line
  const { name, flags, rest } = splitInstruction(line.text, token)
  const code = line.text
  const instruction = { name, flags, rest, code, range, comments, heredocs, escape: token }
  const command = dispatch(instruction)
  // A trigger is read again in the image that inherits it; its syntax is checked where it was written.
  if (command.kind === 'onbuild') dispatch(command.trigger)
  return command
}

function dispatch(instruction: Instruction): Command | FromCommand {
  const parse = PARSERS.get(instruction.name.toLowerCase())
  if (parse === undefined) throw unknownInstruction(instruction)
  return parse(instruction)
}

function unknownInstruction(instruction: Instruction): DockerfileError {
  const { name } = instruction
  const names = Array.from(PARSERS.keys(), (key) => key.toUpperCase())
  return instructionError(instruction, `unknown instruction: ${name}`, {
    code: 'unknown-instruction',
    focus: name,
    suggestion: suggest(name, names, { ignoresCase: true }),
  })
}
