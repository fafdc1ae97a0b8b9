import { goQuote } from '../go-format.ts'
import type { CommandLine } from './command-line.ts'
import { readCommandLine } from './command-line.ts'
import type { CommandBase, Instruction } from './instruction.ts'
import { commandBase, flagsOf, instructionError } from './instruction.ts'
import { mountFrom, MountSyntaxError } from './mount-syntax.ts'
import type { DeviceRequest } from './device.ts'
import { parseDevice } from './device.ts'

export interface RunCommand extends CommandBase {
  readonly kind: 'run'
  readonly command: CommandLine
  /** Values of `--mount`, not yet expanded, each with its `from` (which takes no variables). */
  readonly mounts: readonly { readonly text: string; readonly from: string }[]
  readonly network: 'default' | 'none' | 'host'
  readonly security: 'sandbox' | 'insecure'
  readonly devices: readonly DeviceRequest[]
}

/** RUN with its flags (features rows D66-D78). */
export function parseRun(instruction: Instruction): RunCommand {
  const flags = flagsOf(instruction, {
    mount: 'list',
    network: 'text',
    security: 'text',
    device: 'list',
  })
  const network = flags.text('network') ?? 'default'
  if (network !== 'default' && network !== 'none' && network !== 'host') {
    throw instructionError(instruction, `invalid network mode ${goQuote(network)}`, {
      code: 'bad-flag',
      focus: network,
    })
  }
  const security = flags.text('security') ?? 'sandbox'
  if (security !== 'sandbox' && security !== 'insecure') {
    throw instructionError(instruction, `security ${goQuote(security)} is not valid`, {
      code: 'bad-flag',
      focus: security,
    })
  }
  return {
    ...commandBase(instruction),
    kind: 'run',
    command: readCommandLine(instruction, instruction.rest),
    mounts: flags.list('mount').map((text) => ({ text, from: readMountFrom(instruction, text) })),
    network,
    security,
    devices: flags.list('device').map((text) => parseDevice(instruction, text)),
  }
}

function readMountFrom(instruction: Instruction, text: string): string {
  try {
    return mountFrom(text)
  } catch (error) {
    if (!(error instanceof MountSyntaxError)) throw error
    const { focus, suggestion } = error
    throw instructionError(instruction, error.message, { code: 'bad-flag', focus, suggestion })
  }
}
