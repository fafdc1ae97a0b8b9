import { commandError, expandOrFail } from './conversion.ts'
import type { ConvertOptions } from './convert-options.ts'
import type { ParsedDockerfile, Stage } from './dockerfile.ts'
import { NO_VARIABLES } from './environment.ts'
import { DockerfileError } from './errors.ts'
import type { FactSink } from './facts.ts'
import type { GlobalScope } from './global-args.ts'
import { goQuote } from './go-format.ts'
import type { GraphPlatform } from './graph.ts'
import type { FromCommand } from './instructions/from.ts'
import type { Command } from './instructions/parse-instruction.ts'
import { parseImageReference } from './image-reference.ts'
import { findNamedContext } from './named-contexts.ts'
import { parsePlatform } from './platform.ts'
import type { BoundCommand, StageOrigin, StageState } from './stages.ts'
import { newState, StageTable } from './stages.ts'
import { suggest } from './suggest.ts'

/** What binding stages needs to know. */
export interface BindingScope {
  readonly parsed: ParsedDockerfile
  readonly options: ConvertOptions
  readonly globals: GlobalScope
  readonly facts: FactSink
}

/**
 * Puts the stages of a file into a table: FROM expanded, bases and named contexts found, `--from` bound. Adds what is wrong to
 * `errors` (features rows D38, D55-D63, D113).
 */
export function bindStages(scope: BindingScope, errors: DockerfileError[]): StageTable {
  const { options } = scope
  const table = new StageTable((name) => originOf(undefined, options, name, options.targetPlatform))
  const attempt = (work: () => void) => {
    try {
      work()
    } catch (error) {
      if (!(error instanceof DockerfileError)) throw error
      errors.push(error)
    }
  }
  scope.parsed.stages.forEach((stage, index) => {
    attempt(() => table.add(bindStage(scope, table, stage, index), stage.from.stageName))
  })
  // After the words of all FROM, as in BuildKit: a name that can be no image does not end the warnings about those below.
  for (const { stage, origin } of table.stages) {
    if (stage !== undefined) attempt(() => checkReference(stage.from, origin, stage.from.base))
  }
  // With a stage missing, references to it would only repeat the fault.
  if (errors.length > 0) return table
  for (const state of table.stages) {
    for (const command of state.stage?.commands ?? []) {
      attempt(() => state.commands.push(bindCommand(table, command, false)))
    }
  }
  return table
}

function bindStage(
  scope: BindingScope,
  table: StageTable,
  stage: Stage,
  index: number,
): StageState {
  const { from } = stage
  const base = expandFrom(scope, from, from.base)
  if (base.text === '') {
    throw commandError(from, `base name (${from.base}) should not be blank`, {
      code: 'bad-reference',
      focus: from.base,
      suggestion: suggestName([...base.missing], scope),
    })
  }
  const { platform, used } = bindPlatform(scope, from)
  const fromVariables = new Set([...base.used, ...used])
  const { options } = scope
  const wanted = platform ?? options.targetPlatform
  const replacement =
    from.stageName === '' ? undefined : findNamedContext(options, from.stageName, wanted)
  const origin: StageOrigin =
    replacement === undefined
      ? originOf(table, options, base.text, wanted)
      : { kind: 'context', key: replacement, replacesStage: true }
  const hasBaseStep = origin.kind === 'image' || origin.kind === 'context'
  return newState({
    stage,
    title: from.stageName === '' ? `stage-${index}` : from.stageName,
    range: from.range,
    origin,
    ignoreCache: isCacheIgnored(options, from.stageName),
    fromVariables,
    platform,
    stepCount: countSteps(stage.commands) + (hasBaseStep ? 1 : 0),
  })
}

/** A name that can be no image is an error even where the image would not be needed. */
function checkReference(place: FromCommand | Command, origin: StageOrigin, written: string): void {
  if (origin.kind !== 'image') return
  const reference = parseImageReference(origin.name)
  if (!('fault' in reference)) return
  const message = `failed to parse stage name ${goQuote(origin.name)}: ${reference.fault}`
  throw commandError(place, message, { code: 'bad-reference', focus: written })
}

/** A stage above, `scratch`, a named context, or an image, in this order (features rows D56, D59, D61). */
function originOf(
  table: StageTable | undefined,
  options: ConvertOptions,
  name: string,
  platform: GraphPlatform,
): StageOrigin {
  const base = table?.find(name)
  if (base !== undefined) return { kind: 'stage', base }
  if (name === 'scratch') return { kind: 'scratch' }
  const key = findNamedContext(options, name, platform)
  if (key !== undefined) return { kind: 'context', key, replacesStage: false }
  return { kind: 'image', name }
}

function isCacheIgnored(options: ConvertOptions, name: string): boolean {
  return (
    options.noCache ||
    options.noCacheFilter.some((item) => item.toLowerCase() === name.toLowerCase())
  )
}

/** Commands that make a step of their own. */
function countSteps(commands: readonly Command[]): number {
  return commands.filter(({ kind }) => ['add', 'copy', 'run', 'workdir'].includes(kind)).length
}

function expandFrom(
  scope: BindingScope,
  from: FromCommand,
  word: string,
): ReturnType<typeof expandOrFail> {
  const { environment, args } = scope.globals
  const known = [...new Set([...args.keys(), ...environment.names()])]
  const noteMissing = (missing: ReadonlySet<string>) => {
    for (const name of missing) {
      if (args.has(name)) continue
      scope.facts({ kind: 'missing-from-variable', place: from, name, known })
    }
  }
  return expandOrFail(from, word, environment, { escape: scope.parsed.escape }, noteMissing)
}

function bindPlatform(
  scope: BindingScope,
  from: FromCommand,
): { readonly platform: GraphPlatform | undefined; readonly used: ReadonlySet<string> } {
  if (from.platform === undefined || from.platform === '') {
    return { platform: undefined, used: new Set() }
  }
  const { text, used, missing } = expandFrom(scope, from, from.platform)
  const suggestion = suggestName([...missing], scope)
  const focus = from.platform
  if (text === '') {
    const message = `empty platform value from expression ${from.platform}`
    throw commandError(from, message, { code: 'bad-flag', focus, suggestion })
  }
  const platform = parsePlatform(text, scope.options.buildPlatform)
  if ('fault' in platform) {
    const message = `failed to parse platform ${from.platform}: ${platform.fault}`
    throw commandError(from, message, { code: 'bad-flag', focus, suggestion })
  }
  const target = scope.globals.environment.get('TARGETPLATFORM') ?? ''
  scope.facts({ kind: 'from-platform', from, value: text, platform, used, missing, target })
  return { platform, used }
}

function suggestName(missing: readonly string[], scope: BindingScope): string | undefined {
  for (const name of missing) {
    const near = suggest(name, scope.globals.environment.names())
    if (near !== undefined) return near
  }
  return undefined
}

/** Finds the stages and images that a command takes files from. Throws DockerfileError. */
export function bindCommand(table: StageTable, command: Command, isOnbuild: boolean): BoundCommand {
  if (command.kind === 'copy' && command.from !== '') {
    const expansion = expandOrFail(command, command.from, NO_VARIABLES, { escape: '\\' })
    if (expansion.text !== command.from) {
      const message =
        'variable expansion is not supported for --from, define a new stage with FROM using ARG ' +
        'from global scope as a workaround'
      throw commandError(command, message, { code: 'expansion', focus: command.from })
    }
    return { command, isOnbuild, sources: [bindCopySource(table, command, command.from)] }
  }
  if (command.kind === 'run') {
    // A number is a name here, not the index of a stage (features row D58).
    const sources = command.mounts.map(({ from }) =>
      from === '' ? undefined : (table.find(from) ?? bindExternal(table, command, from)),
    )
    return { command, isOnbuild, sources }
  }
  return { command, isOnbuild, sources: [] }
}

function bindCopySource(table: StageTable, command: Command, from: string): StageState {
  if (!/^[+-]?\d+$/.test(from)) return table.find(from) ?? bindExternal(table, command, from)
  const stage = table.stages[Number(from)]
  if (stage !== undefined) return stage
  const message = `invalid stage index ${Number(from)}`
  throw commandError(command, message, { code: 'stage-order', focus: from })
}

function bindExternal(table: StageTable, command: Command, name: string): StageState {
  const state = table.external(name, command.range)
  checkReference(command, state.origin, name)
  return state
}

/** The stage that `--target` names (the last one by default), or what is wrong. */
export function findTarget(table: StageTable, name: string | undefined): StageState | string {
  if (name === undefined) return table.stages.at(-1) ?? 'dockerfile contains no stages to build'
  return table.find(name) ?? `target stage ${goQuote(name)} could not be found`
}
