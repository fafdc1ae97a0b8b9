import { goDurationFault, goQuote, parseGoDuration } from '../go-format.ts'
import { trimStartBlanks } from '../blanks.ts'
import type { Flags } from '../flags.ts'
import type { StageHealthcheck } from '../image-config.ts'
import { readCommandLine } from './command-line.ts'
import type { CommandBase, Instruction } from './instruction.ts'
import { commandBase, flagsOf, instructionError, needsArgument } from './instruction.ts'

export interface HealthcheckCommand extends CommandBase {
  readonly kind: 'healthcheck'
  readonly healthcheck: StageHealthcheck
}

const FLAGS = {
  interval: 'text',
  timeout: 'text',
  'start-period': 'text',
  'start-interval': 'text',
  retries: 'text',
} as const

const MILLISECOND = 1_000_000n

/** `HEALTHCHECK [flags] CMD ...` or `HEALTHCHECK NONE` (features row D84). */
export function parseHealthcheck(instruction: Instruction): HealthcheckCommand {
  const base = { ...commandBase(instruction), kind: 'healthcheck' as const }
  const word = /^\S+/.exec(instruction.rest)?.[0]
  if (word === undefined) throw needsArgument(instruction)
  const command = trimStartBlanks(instruction.rest.slice(word.length))
  const type = word.toUpperCase()
  if (type === 'NONE') {
    if (command !== '') throw instructionError(instruction, 'HEALTHCHECK NONE takes no arguments')
    return { ...base, healthcheck: { Test: ['NONE'] } }
  }
  const flags = flagsOf(instruction, FLAGS)
  if (type !== 'CMD') {
    const message = `Unknown type ${goQuote(type)} in HEALTHCHECK (try CMD)`
    throw instructionError(instruction, message, { focus: word })
  }
  const { args, isShellForm } = readCommandLine(instruction, command)
  if (args.length === 0) {
    throw instructionError(instruction, 'Missing command after HEALTHCHECK CMD')
  }
  const healthcheck = {
    Test: [isShellForm ? 'CMD-SHELL' : 'CMD', ...args],
    ...optional('Interval', readInterval(instruction, flags, 'interval')),
    ...optional('Timeout', readInterval(instruction, flags, 'timeout')),
    ...optional('StartPeriod', readInterval(instruction, flags, 'start-period')),
    ...optional('StartInterval', readInterval(instruction, flags, 'start-interval')),
    ...optional('Retries', readRetries(instruction, flags)),
  }
  return { ...base, healthcheck }
}

/** Zero is the runtime's default and is not stored. */
function optional(key: string, value: number): Readonly<Record<string, number>> {
  return value === 0 ? {} : { [key]: value }
}

function readInterval(instruction: Instruction, flags: Flags, name: string): number {
  const text = flags.text(name) ?? ''
  if (text === '') return 0
  const nanoseconds = parseGoDuration(text)
  if (nanoseconds === undefined) {
    throw instructionError(instruction, `${goDurationFault(text)} for --${name}`, {
      code: 'bad-flag',
      focus: text,
    })
  }
  if (nanoseconds !== 0n && nanoseconds < MILLISECOND) {
    throw instructionError(instruction, `Interval ${goQuote(name)} cannot be less than 1ms`, {
      code: 'bad-flag',
      focus: text,
    })
  }
  return Number(nanoseconds)
}

function readRetries(instruction: Instruction, flags: Flags): number {
  const text = flags.text('retries') ?? ''
  if (text === '') return 0
  const retries = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN
  if (!(Math.abs(retries) <= 0x7fffffff)) {
    throw instructionError(
      instruction,
      `invalid --retries ${goQuote(text)}: invalid syntax, it is not a number`,
      {
        code: 'bad-flag',
        focus: text,
      },
    )
  }
  if (retries < 0) {
    throw instructionError(instruction, `--retries cannot be negative (${retries})`, {
      code: 'bad-flag',
      focus: text,
    })
  }
  return retries
}
