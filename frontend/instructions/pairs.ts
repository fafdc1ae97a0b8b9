import { cutFirstWord } from '../blanks.ts'
import { splitQuotedWords } from '../split-instruction.ts'
import { goQuote } from '../go-format.ts'
import type { CommandBase, Instruction } from './instruction.ts'
import { commandBase, flagsOf, instructionError, needsArgument } from './instruction.ts'

/** `name=value` of ENV and LABEL, not yet expanded. */
export interface Pair {
  readonly key: string
  readonly value: string
}

/** ENV and LABEL share their grammar (features rows D86, D87). */
export interface PairsCommand extends CommandBase {
  readonly kind: 'env' | 'label'
  readonly pairs: readonly Pair[]
  /** `ENV name value`, without `=`. */
  readonly isLegacyForm: boolean
}

/** Reads `name=value ...`, or the old `name value` form where the rest of the line is the value. */
export function parsePairs(instruction: Instruction, kind: 'env' | 'label'): PairsCommand {
  flagsOf(instruction)
  const base = { ...commandBase(instruction), kind }
  const words = splitQuotedWords(instruction.rest, instruction.escape)
  const first = words[0]
  if (first === undefined) throw needsArgument(instruction)
  if (!first.includes('=')) {
    const [key, value] = cutFirstWord(instruction.rest)
    if (value === undefined) {
      const message = `${kind.toUpperCase()} must have two arguments`
      throw instructionError(instruction, message, { code: 'syntax' })
    }
    return { ...base, pairs: [{ key, value }], isLegacyForm: true }
  }
  const pairs = words.map((word) => parsePair(instruction, kind, word))
  return { ...base, pairs, isLegacyForm: false }
}

function parsePair(instruction: Instruction, kind: string, word: string): Pair {
  const at = word.indexOf('=')
  if (at < 0) {
    const message = `Syntax error - can't find = in ${goQuote(word)}. Must be of the form: name=value`
    throw instructionError(instruction, message, { code: 'syntax', focus: word })
  }
  if (at === 0) {
    const message = `${kind.toUpperCase()} names can not be blank`
    throw instructionError(instruction, message, { focus: word })
  }
  return { key: word.slice(0, at), value: word.slice(at + 1) }
}
