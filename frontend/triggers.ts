import { bindCommand } from './bind-stages.ts'
import { DockerfileError } from './errors.ts'
import type { Command } from './instructions/parse-instruction.ts'
import { parseInstruction } from './instructions/parse-instruction.ts'
import { scanLines } from './lines.ts'
import type { BoundCommand, StageState, StageTable } from './stages.ts'
import { isReplaced } from './stages.ts'

/**
 * Puts the ONBUILD triggers of a stage's base before its own commands, once (features rows D92, D144). True when they name
 * stages or images that were not needed before. Throws DockerfileError at the stage's FROM.
 */
export function addTriggers(table: StageTable, state: StageState): boolean {
  if (state.hasTriggers) return false
  state.hasTriggers = true
  const triggers = triggersOf(state).map((text) => bindTrigger(table, state, text))
  state.commands = [...triggers, ...state.commands]
  // BuildKit counts every trigger as a step, also one that makes none.
  state.stepCount += triggers.length
  return triggers.some(({ sources }) => sources.length > 0)
}

function triggersOf(state: StageState): readonly string[] {
  if (isReplaced(state)) return []
  if (state.origin.kind !== 'stage') return state.base?.triggers ?? []
  const { base } = state.origin
  if (isReplaced(base)) return []
  return base.commands.flatMap(({ command }) =>
    command.kind === 'onbuild' ? [command.expression] : [],
  )
}

function bindTrigger(table: StageTable, state: StageState, text: string): BoundCommand {
  try {
    return bindCommand(table, parseTrigger(state, text), true)
  } catch (error) {
    if (!(error instanceof DockerfileError)) throw error
    throw new DockerfileError(error.code, `ONBUILD ${text.split('\n')[0]}: ${error.message}`, {
      range: state.range,
      cause: error,
    })
  }
}

/** A trigger is read with the default escape character, whatever the directive of its file was (features row D9). */
function parseTrigger(state: StageState, text: string): Command {
  const { lines, errors } = scanLines(text)
  const [line, more] = lines
  if (errors[0] !== undefined) throw errors[0]
  if (line === undefined || more !== undefined) {
    throw new DockerfileError('syntax', 'onbuild trigger should be a single expression', {
      range: state.range,
    })
  }
  const command = parseInstruction({ ...line, range: state.range }, '\\')
  if (command.kind !== 'from') return command
  throw new DockerfileError('syntax', "FROM isn't allowed as an ONBUILD trigger", {
    range: state.range,
  })
}
