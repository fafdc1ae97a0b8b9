import { splitQuotedWords } from '../split-instruction.ts'
import { docComment } from './doc-comment.ts'
import type { CommandBase, Instruction } from './instruction.ts'
import { commandBase, instructionError, needsArgument } from './instruction.ts'

/** One name of ARG; `value` undefined: no default, which is not the empty default (features row D40). */
export interface ArgDefinition {
  readonly key: string
  readonly value: string | undefined
  readonly description: string
}

export interface ArgCommand extends CommandBase {
  readonly kind: 'arg'
  readonly args: readonly ArgDefinition[]
}

export function parseArg(instruction: Instruction): ArgCommand {
  const words = splitQuotedWords(instruction.rest, instruction.escape)
  if (words.length === 0) throw needsArgument(instruction)
  const args = words.map((word) => {
    const at = word.indexOf('=')
    if (at === 0) {
      throw instructionError(instruction, 'ARG names can not be blank', { focus: word })
    }
    const key = at < 0 ? word : word.slice(0, at)
    const value = at < 0 ? undefined : word.slice(at + 1)
    return { key, value, description: docComment(instruction.comments, key) }
  })
  return { ...commandBase(instruction), kind: 'arg', args }
}
