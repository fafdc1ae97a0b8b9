import type { ParsedDockerfile, Stage } from '../../dockerfile.ts'
import type { Command } from '../../instructions/parse-instruction.ts'

/** A stage with all commands of the stages of the file that it is built on, oldest first. */
export interface Lineage {
  readonly stage: Stage
  readonly inherited: readonly Command[]
}

/** The lineage of every stage, in the order of the file. A base that is a variable is no stage. */
export function lineagesOf(parsed: ParsedDockerfile): readonly Lineage[] {
  const named = new Map<string, Lineage>()
  return parsed.stages.map((stage) => {
    const base = named.get(stage.from.base.toLowerCase())
    const inherited = base === undefined ? [] : [...base.inherited, ...base.stage.commands]
    const lineage = { stage, inherited }
    if (stage.from.stageName !== '') named.set(stage.from.stageName, lineage)
    return lineage
  })
}
