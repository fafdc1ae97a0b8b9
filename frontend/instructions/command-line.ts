import { WORD_SEPARATOR } from '../blanks.ts'
import { readExecForm } from '../exec-form.ts'
import type { Heredoc } from '../heredoc.ts'
import type { Instruction } from './instruction.ts'
import { instructionError } from './instruction.ts'

/** The command of RUN, CMD, ENTRYPOINT, SHELL and HEALTHCHECK. */
export interface CommandLine {
  /** Shell form: one string, or none when nothing was written. */
  readonly args: readonly string[]
  /** Shell form: SHELL comes before it. */
  readonly isShellForm: boolean
  readonly heredocs: readonly Heredoc[]
}

/** Reads `text` as exec form or shell form. Throws `syntax` for a JSON array of other things than strings. */
export function readCommandLine(instruction: Instruction, text: string): CommandLine {
  const { heredocs } = instruction
  const form = readExecForm(text)
  switch (form.kind) {
    case 'exec':
      return { args: form.args, isShellForm: false, heredocs }
    case 'shell':
      return { args: text === '' ? [] : [text], isShellForm: true, heredocs }
    case 'not-strings':
      throw notStrings(instruction)
  }
}

/** Reads `text` as a JSON array or as words between blanks. */
export function readList(instruction: Instruction, text: string): readonly string[] {
  const form = readExecForm(text)
  switch (form.kind) {
    case 'exec':
      return form.args
    case 'shell':
      return text === '' ? [] : text.split(WORD_SEPARATOR)
    case 'not-strings':
      throw notStrings(instruction)
  }
}

function notStrings(instruction: Instruction): Error {
  return instructionError(
    instruction,
    'when using JSON array syntax, arrays must be comprised of strings only',
    { code: 'syntax', focus: instruction.rest },
  )
}
