import { WORD_SEPARATOR } from '../blanks.ts'
import { lineRange } from '../diagnostics.ts'
import type { ParsedDockerfile, RefusedInstruction } from '../dockerfile.ts'
import type { ArgCommand } from '../instructions/arg.ts'
import type { FromCommand } from '../instructions/from.ts'
import type { Command } from '../instructions/parse-instruction.ts'
import type { Finding } from './rule.ts'
import {
  CONSISTENT_INSTRUCTION_CASING,
  FROM_AS_CASING,
  INVALID_DEFINITION_DESCRIPTION,
  MAINTAINER_DEPRECATED,
  NO_EMPTY_CONTINUATION,
  STAGE_NAME_CASING,
} from './rule.ts'

/** Rules that look at the text only; they see stages that the target does not need too. */
export function fileFindings(parsed: ParsedDockerfile): Finding[] {
  return [
    ...parsed.emptyContinuationLines.map(emptyContinuation),
    ...parsed.globalArgs.flatMap(argFindings),
    ...parsed.stages.flatMap(({ from, commands }) => [
      ...fromFindings(from),
      ...commands.flatMap(commandFindings),
    ]),
  ]
}

function emptyContinuation(line: number): Finding {
  const place = { range: lineRange(line), comments: [] }
  return { rule: NO_EMPTY_CONTINUATION, detail: 'Empty continuation line', place }
}

function commandFindings(command: Command): Finding[] {
  if (command.kind === 'arg') return argFindings(command)
  return command.kind === 'maintainer' ? [maintainerFinding(command)] : []
}

function maintainerFinding(place: Finding['place']): Finding {
  const detail = 'Maintainer instruction is deprecated in favor of using label'
  return { rule: MAINTAINER_DEPRECATED, detail, place }
}

/** What is looked at before an instruction is found to be wrong. */
export function refusedFindings(instruction: RefusedInstruction): Finding[] {
  const { name, rest } = instruction
  if (/^maintainer$/i.test(name)) return [maintainerFinding(instruction)]
  if (!/^from$/i.test(name)) return []
  const [, asKeyword, stageName, ...more] = rest.split(WORD_SEPARATOR)
  if (stageName === undefined) return []
  const names = more.length === 0 ? stageName : ''
  return fromSpellingFindings(instruction, { asKeyword, stageNameAsWritten: names })
}

function argFindings(command: ArgCommand): Finding[] {
  return descriptionFindings(
    command,
    'ARG',
    command.args.map(({ key }) => key),
  )
}

function fromFindings(from: FromCommand): Finding[] {
  const { stageName } = from
  const findings = fromSpellingFindings(from, from)
  if (stageName === '') return findings
  return [...findings, ...descriptionFindings(from, 'FROM', [stageName])]
}

function fromSpellingFindings(
  place: Finding['place'] & { readonly name: string },
  { stageNameAsWritten, asKeyword }: Pick<FromCommand, 'stageNameAsWritten' | 'asKeyword'>,
): Finding[] {
  const findings: Finding[] = []
  if (stageNameAsWritten !== stageNameAsWritten.toLowerCase()) {
    const detail = `Stage name '${stageNameAsWritten}' should be lowercase`
    findings.push({ rule: STAGE_NAME_CASING, detail, place })
  }
  if (asKeyword !== undefined && !isSameCase(place.name, asKeyword)) {
    const detail = `'${asKeyword}' and '${place.name}' keywords' casing do not match`
    findings.push({ rule: FROM_AS_CASING, detail, place })
  }
  return findings
}

/** A FROM in mixed case is the business of another rule. */
function isSameCase(from: string, as: string): boolean {
  if (from === from.toLowerCase()) return as === as.toLowerCase()
  return from !== from.toUpperCase() || as === as.toUpperCase()
}

function descriptionFindings(
  place: ArgCommand | FromCommand,
  instruction: string,
  names: readonly string[],
): Finding[] {
  const [word] = place.comments.at(-1)?.split(' ') ?? []
  if (word === undefined || names.includes(word)) return []
  const example = names.length > 1 ? '<arg_key>' : names[0]
  const detail = `Comment for ${instruction} should follow the format: \`# ${example} <description>\``
  return [{ rule: INVALID_DEFINITION_DESCRIPTION, detail, place }]
}

/** Instructions should all be in the case that most of them have; a tie means upper case (features row L4). */
export function casingFindings(parsed: ParsedDockerfile): Finding[] {
  const commands = parsed.stages.flatMap((stage) => [stage.from, ...stage.commands])
  let balance = 0
  for (const { name } of commands) {
    if (name === name.toLowerCase()) balance--
    else if (name === name.toUpperCase()) balance++
  }
  const isLower = balance < 0
  const casing = isLower ? 'lowercase' : 'uppercase'
  return commands
    .filter(({ name }) => name !== (isLower ? name.toLowerCase() : name.toUpperCase()))
    .map((place) => ({
      rule: CONSISTENT_INSTRUCTION_CASING,
      detail: `Command '${place.name}' should match the case of the command majority (${casing})`,
      place,
    }))
}
