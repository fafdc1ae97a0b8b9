import { splitInstruction } from '../split-instruction.ts'
import type { CommandBase, Instruction } from './instruction.ts'
import { commandBase, flagsOf, instructionError, needsArgument } from './instruction.ts'

export interface OnbuildCommand extends CommandBase {
  readonly kind: 'onbuild'
  /** The trigger as text, heredocs included: it is stored in the image and read again there. */
  readonly expression: string
  /** The trigger taken apart, so that its mistakes are found here. */
  readonly trigger: Instruction
}

/** ONBUILD (features rows D92, D29). The trigger itself is checked by the caller. */
export function parseOnbuild(instruction: Instruction): OnbuildCommand {
  if (instruction.rest === '') throw needsArgument(instruction)
  flagsOf(instruction)
  const parts = splitInstruction(instruction.rest, instruction.escape)
  const name = parts.name.toUpperCase()
  if (name === 'ONBUILD') {
    throw instructionError(instruction, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", {
      focus: parts.name,
    })
  }
  if (name === 'MAINTAINER' || name === 'FROM') {
    throw instructionError(instruction, `${name} isn't allowed as an ONBUILD trigger`, {
      focus: parts.name,
    })
  }
  const trigger = { ...instruction, ...parts, code: instruction.rest }
  return {
    ...commandBase(instruction),
    kind: 'onbuild',
    expression: expressionOf(instruction),
    trigger,
  }
}

function expressionOf(instruction: Instruction): string {
  const parts = [instruction.code.replace(/^\s*ONBUILD\s*/i, '')]
  for (const { content, name } of instruction.heredocs) parts.push(`\n${content}${name}`)
  return parts.join('')
}
