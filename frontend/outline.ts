import type { ConvertOptions } from './convert-options.ts'
import { withoutPlatform } from './convert-options.ts'
import type { ConvertedStages } from './convert.ts'
import { convertLinted } from './convert.ts'
import type { Range } from './diagnostics.ts'
import type { ParsedDockerfile } from './dockerfile.ts'
import type { GlobalScope } from './global-args.ts'
import type { RunNode } from './graph.ts'
import { base64, jsonLocation } from './json-location.ts'
import type { ImageResolver } from './resolver.ts'
import type { Warning } from './rules/rule.ts'
import type { StageState } from './stages.ts'
import { dependenciesOf } from './stages.ts'
import { renderTable } from './text-table.ts'

/** What a target can be given (features row L26). */
export interface Outline {
  /** Name of the target; empty when it has none. */
  readonly name: string
  readonly description: string
  readonly args: readonly OutlineArg[]
  readonly secrets: readonly OutlineInput[]
  readonly agents: readonly OutlineInput[]
  /** Of the rules, as of a build. */
  readonly warnings: readonly Warning[]
}

export interface OutlineArg {
  readonly name: string
  readonly description: string
  readonly value: string
  readonly range: Range
}

/** A secret or ssh agent, by id. */
export interface OutlineInput {
  readonly name: string
  readonly isRequired: boolean
  readonly range: Range
}

/** Converts the target and collects its inputs. Throws what `convert` throws. */
export async function outline(
  parsed: ParsedDockerfile,
  options: ConvertOptions,
  resolver: ImageResolver,
  signal: AbortSignal,
): Promise<Outline> {
  const request = { parsed, options: withoutPlatform(options), resolver, signal }
  const { converted, warnings } = await convertLinted(request)
  const stages = reachableInOrder(converted.target)
  const { from } = converted.target.stage ?? {}
  return {
    name: from?.stageName ?? '',
    description: from?.description ?? '',
    args: collectArgs(stages, converted.globals).sort(byLine),
    ...collectInputs(stages, converted),
    warnings,
  }
}

function byLine(a: { readonly range: Range }, b: { readonly range: Range }): number {
  return a.range.startLine - b.range.startLine
}

/** The target, then what it is built on, then what it copies from. */
function reachableInOrder(target: StageState): StageState[] {
  const found = new Set<StageState>()
  const waiting = [target]
  for (let state = waiting.pop(); state !== undefined; state = waiting.pop()) {
    if (found.has(state)) continue
    found.add(state)
    waiting.push(...dependenciesOf(state).toReversed())
  }
  return [...found]
}

/** The first definition of a name counts, as seen from the target. */
function collectArgs(stages: readonly StageState[], globals: GlobalScope): OutlineArg[] {
  const found = new Map<string, OutlineArg>()
  for (const arg of stages.flatMap((state) => stageArgs(state, globals))) {
    if (!found.has(arg.name)) found.set(arg.name, arg)
  }
  return [...found.values()]
}

/** ARGs that one stage declares or that its FROM reads. */
function stageArgs(state: StageState, globals: GlobalScope): OutlineArg[] {
  const declared = (state.result?.args ?? []).filter(({ owner }) => owner === state)
  const own = new Map<string, OutlineArg>()
  for (const { key, description, value, range, isInherited } of declared) {
    if (!isInherited) own.set(key, { name: key, description, value: value ?? '', range })
  }
  const used = new Set([...state.fromVariables, ...declared.map(({ key }) => key)])
  return [...withDependencies(used, globals)].flatMap(
    (name) => own.get(name) ?? globalArg(name, globals) ?? [],
  )
}

function withDependencies(used: ReadonlySet<string>, globals: GlobalScope): Set<string> {
  const all = new Set(used)
  // A Set grows while it is walked: new names are visited too.
  for (const name of all) {
    for (const other of globals.args.get(name)?.dependencies ?? []) all.add(other)
  }
  return all
}

function globalArg(name: string, globals: GlobalScope): OutlineArg | undefined {
  const arg = globals.args.get(name)
  if (arg === undefined) return undefined
  const { definition, value, range } = arg
  return { name, description: definition.description, value: value ?? '', range }
}

function collectInputs(
  stages: readonly StageState[],
  { conversion }: ConvertedStages,
): Pick<Outline, 'secrets' | 'agents'> {
  const owners = new Set(stages.map(({ title }) => title))
  const secrets = new Map<string, OutlineInput>()
  const agents = new Map<string, OutlineInput>()
  for (const node of conversion.graph.nodes) {
    if (node.kind === 'run' && owners.has(node.origin.stage ?? ''))
      noteInputs(node, secrets, agents)
  }
  return { secrets: [...secrets.values()].sort(byLine), agents: [...agents.values()].sort(byLine) }
}

function noteInputs(
  { mounts, origin }: RunNode,
  secrets: Map<string, OutlineInput>,
  agents: Map<string, OutlineInput>,
): void {
  const { range } = origin
  if (range === undefined) return
  const note = (known: Map<string, OutlineInput>, name: string, isRequired: boolean) => {
    if (!known.has(name)) known.set(name, { name, isRequired, range })
  }
  for (const mount of mounts) {
    if (mount.type === 'secret') note(secrets, mount.secretId, mount.isRequired)
    else if (mount.type === 'ssh') note(agents, mount.sshId, mount.isRequired)
  }
}

/** The text of `--call=outline`. */
export function renderOutline(data: Outline): string {
  const blocks: string[] = []
  if (data.name !== '' || data.description !== '') {
    const rows = [['TARGET:', data.name === '' ? '(default)' : data.name]]
    if (data.description !== '') rows.push(['DESCRIPTION:', data.description])
    blocks.push(renderTable(rows, 1))
  }
  if (data.args.length > 0) {
    const rows = data.args.map(({ name, value, description }) => [name, value, description])
    blocks.push(renderTable([['BUILD ARG', 'VALUE', 'DESCRIPTION'], ...rows], 3))
  }
  for (const [title, inputs] of [
    ['SECRET', data.secrets],
    ['SSH', data.agents],
  ] as const) {
    const rows = inputs.map(({ name, isRequired }) => [name, isRequired ? 'true' : ''])
    if (rows.length > 0) blocks.push(renderTable([[title, 'REQUIRED'], ...rows], 3))
  }
  return blocks.map((block) => `${block}\n`).join('')
}

/** The JSON of `--call=outline,format=json`. */
export function outlineJson(data: Outline, source: string): string {
  const inputs = (list: readonly OutlineInput[]) =>
    list.map(({ name, isRequired, range }) => ({
      name,
      ...(isRequired ? { required: true } : {}),
      location: jsonLocation(range),
    }))
  const args = data.args.map(({ name, description, value, range }) => ({
    name,
    ...(description === '' ? {} : { description }),
    ...(value === '' ? {} : { value }),
    location: jsonLocation(range),
  }))
  const document = {
    ...(data.name === '' ? {} : { name: data.name }),
    ...(data.description === '' ? {} : { description: data.description }),
    ...(args.length === 0 ? {} : { args }),
    ...(data.secrets.length === 0 ? {} : { secrets: inputs(data.secrets) }),
    ...(data.agents.length === 0 ? {} : { ssh: inputs(data.agents) }),
    sources: [base64(source)],
  }
  return JSON.stringify(document, undefined, 2)
}
