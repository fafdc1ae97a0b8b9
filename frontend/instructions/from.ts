import { WORD_SEPARATOR } from '../blanks.ts'
import { goQuote } from '../go-format.ts'
import { docComment } from './doc-comment.ts'
import type { CommandBase, Instruction } from './instruction.ts'
import { commandBase, flagsOf, instructionError } from './instruction.ts'

export interface FromCommand extends CommandBase {
  readonly kind: 'from'
  /** Image, stage or `scratch`, not yet expanded. */
  readonly base: string
  /** Lower case; empty when the stage has none. */
  readonly stageName: string
  readonly stageNameAsWritten: string
  /** `AS` as written. */
  readonly asKeyword: string | undefined
  /** Value of `--platform`, not yet expanded. */
  readonly platform: string | undefined
  readonly description: string
}

const STAGE_NAME = /^[a-z][a-z0-9-_.]*$/

/** `FROM [--platform=p] image [AS name]` (features rows D55, D56). */
export function parseFrom(instruction: Instruction): FromCommand {
  const words = instruction.rest === '' ? [] : instruction.rest.split(WORD_SEPARATOR)
  const [base, asKeyword, name] = words
  const isNamed = words.length === 3 && asKeyword?.toLowerCase() === 'as'
  if (base === undefined || (words.length !== 1 && !isNamed)) {
    throw instructionError(instruction, 'FROM requires either one or three arguments')
  }
  const stageName = name?.toLowerCase() ?? ''
  if (isNamed && !STAGE_NAME.test(stageName)) {
    const message =
      `invalid name for build stage: ${goQuote(name ?? '')}, ` +
      "name can't start with a number or contain symbols"
    throw instructionError(instruction, message, { focus: name })
  }
  const flags = flagsOf(instruction, { platform: 'text' })
  return {
    ...commandBase(instruction),
    kind: 'from',
    base,
    stageName,
    stageNameAsWritten: name ?? '',
    asKeyword,
    platform: flags.text('platform'),
    description: docComment(instruction.comments, stageName),
  }
}
