import { bindStages, findTarget } from './bind-stages.ts'
import { findCircle } from './circular-stages.ts'
import type { Conversion } from './conversion.ts'
import { convertStage, withLayerForContext } from './convert-stage.ts'
import type { ConvertOptions } from './convert-options.ts'
import type { ParsedDockerfile } from './dockerfile.ts'
import { DockerfileError, DockerfileErrors } from './errors.ts'
import type { ConversionFact, FactSink } from './facts.ts'
import type { GlobalScope } from './global-args.ts'
import { evaluateGlobalArgs, noteDefaultBases, predefinedArgs } from './global-args.ts'
import { GraphBuilder } from './graph-builder.ts'
import type { BuildGraph, GraphPlatform } from './graph.ts'
import type { StageImageConfig } from './image-config.ts'
import { normalizePlatform } from './platform.ts'
import { BaseResolver } from './resolve-bases.ts'
import type { ImageResolver } from './resolver.ts'
import { lint, lintConfigOf, lintViolation } from './rules/lint.ts'
import type { Warning } from './rules/rule.ts'
import type { StageResult, StageState, StageTable } from './stages.ts'
import { dependenciesOf } from './stages.ts'
import { resolveEpoch } from './source-epoch.ts'
import { withStaticFaults } from './static-faults.ts'
import { suggest } from './suggest.ts'
import { addTriggers } from './triggers.ts'

/**
 * Turns a Dockerfile into the build graph of one target platform. Throws DockerfileErrors with all faults found, or the
 * reason of an abort.
 */
export async function convert(
  parsed: ParsedDockerfile,
  options: ConvertOptions,
  resolver: ImageResolver,
  signal: AbortSignal,
): Promise<BuildGraph> {
  const { converted, warnings } = await convertLinted({ parsed, options, resolver, signal })
  return assembleGraph(converted, warnings)
}

/** As `convertStages`, with what the rules say; errors have it too, and `error=true` makes one of it. */
export async function convertLinted(
  request: Omit<ConversionRequest, 'facts'>,
): Promise<{ readonly converted: ConvertedStages; readonly warnings: readonly Warning[] }> {
  const { parsed, options } = request
  const config = lintConfigOf(parsed, options.buildArgs)
  const facts: ConversionFact[] = []
  const findings = () => lint({ parsed, facts, config, ignore: options.ignore })
  const converted = await convertStages({ ...request, facts: facts.push.bind(facts) }).catch(
    (error: unknown) => {
      if (!(error instanceof DockerfileErrors)) throw error
      throw new DockerfileErrors(error.list, parsed.name, parsed.text, findings())
    },
  )
  const warnings = findings()
  const violation = lintViolation(config, warnings)
  if (violation !== undefined) {
    throw new DockerfileErrors([violation], parsed.name, parsed.text, warnings)
  }
  return { converted, warnings }
}

/** The graph around a converted target. */
function assembleGraph(converted: ConvertedStages, warnings: readonly Warning[]): BuildGraph {
  const { conversion, target, result } = converted
  const { options, graph, epochSec } = conversion
  const { node, history } = withLayerForContext(conversion, result)
  return {
    nodes: graph.nodes,
    target: node,
    targetStage: target.title,
    platform: result.platform,
    config: finishConfig(options, result.config),
    base: result.imageNode,
    history,
    epochSec,
    warnings,
  }
}

/** `--label` and, when it was given, `--platform` have the last word (features rows D87, O5). */
function finishConfig(options: ConvertOptions, source: StageImageConfig): StageImageConfig {
  const config = structuredClone(source)
  if (options.labels.size > 0) {
    const labels = new Map([...Object.entries(config.config.Labels ?? {}), ...options.labels])
    config.config.Labels = Object.fromEntries(labels)
  }
  const { targetPlatform } = options
  if (options.isPlatformExplicit) setPlatform(config, targetPlatform)
  const { variant, ...rest } = normalizePlatform({
    os: config.os,
    architecture: config.architecture,
    ...(config.variant === undefined ? {} : { variant: config.variant }),
  })
  delete config.variant
  return { ...config, ...rest, ...(variant === undefined ? {} : { variant }) }
}

function setPlatform(config: StageImageConfig, platform: GraphPlatform): void {
  const isSame = platform.os === config.os && platform.architecture === config.architecture
  config.os = platform.os
  config.architecture = platform.architecture
  if (platform.variant !== undefined) config.variant = platform.variant
  else if (!isSame) delete config.variant
  if (platform.osVersion !== undefined) config['os.version'] = platform.osVersion
  else if (!isSame) delete config['os.version']
}

/** Everything a conversion starts from. */
export interface ConversionRequest {
  readonly parsed: ParsedDockerfile
  readonly options: ConvertOptions
  readonly resolver: ImageResolver
  readonly signal: AbortSignal
  readonly facts: FactSink
}

/** A conversion that is done. */
export interface ConvertedStages {
  readonly conversion: Conversion
  readonly globals: GlobalScope
  readonly target: StageState
  readonly result: StageResult
}

/**
 * Converts the stages that the target needs, or all of them. Only their images are resolved, side by side (features row
 * D62). Throws DockerfileErrors with all faults found, or the reason of an abort.
 */
export async function convertStages(request: ConversionRequest): Promise<ConvertedStages> {
  const { parsed, options } = request
  const errors: DockerfileError[] = []
  // Errors are looked for everywhere; what rules say ends where BuildKit ends, at the first of them.
  const facts: FactSink = (fact) => {
    if (errors.length === 0) request.facts(fact)
  }
  const fail = (all: readonly DockerfileError[]) =>
    new DockerfileErrors(withStaticFaults(parsed, all), parsed.name, parsed.text)
  const failIfAny = () => {
    if (errors.length > 0) throw fail(errors)
  }
  try {
    const predefined = predefinedArgs(parsed, options)
    noteDefaultBases(parsed, predefined, request.facts)
    const globals = evaluateGlobalArgs(parsed, predefined, options.buildArgs)
    const { epochSec, buildArgs } = await resolveEpoch({
      ...request,
      globals: globals.environment,
    })
    const table = bindStages({ parsed, options, globals, facts }, errors)
    failIfAny()
    const target = requireTarget(table, options.target)
    const circle = findCircle(table.stages)
    if (circle !== undefined) throw circle
    const conversion: Conversion = {
      parsed,
      options,
      buildArgs,
      globals: globals.environment,
      table,
      graph: new GraphBuilder(),
      facts,
      epochSec,
      hasOneStage: table.stages.length === 1 && !hasExternals(table),
    }
    const needed = await resolveNeeded(request, conversion, target)
    applyStages(conversion, needed, errors)
    failIfAny()
    const { result } = target
    if (result === undefined) throw new Error('the target was not converted')
    return { conversion, globals, target, result }
  } catch (error) {
    if (!(error instanceof DockerfileError)) throw error
    throw fail([...errors, error])
  }
}

function requireTarget(table: StageTable, name: string | undefined): StageState {
  const target = findTarget(table, name)
  if (typeof target !== 'string') return target
  const suggestion = name === undefined ? undefined : suggest(name, table.names)
  throw new DockerfileError('unknown-target', target, { range: undefined, suggestion })
}

/** BuildKit counts mounts without a source too; their titles name the stage even in a file with one stage. */
function hasExternals(table: StageTable): boolean {
  const hasMounts = table.stages.some(({ commands }) =>
    commands.some(({ command }) => command.kind === 'run' && command.mounts.length > 0),
  )
  return hasMounts || table.externalCount > 0
}

/** Resolves bases and adds triggers until nothing new is needed: a trigger may name further images. */
async function resolveNeeded(
  request: ConversionRequest,
  conversion: Conversion,
  target: StageState,
): Promise<ReadonlySet<StageState>> {
  const { table, parsed, options } = conversion
  const resolver = new BaseResolver(conversion, request.resolver, request.signal)
  const targets = options.allStages === true ? [...table.stages, target] : [target]
  for (;;) {
    const needed = table.reachableFrom(targets)
    const inOrder = table.all.filter((state) => needed.has(state))
    const errors = await resolver.resolve(inOrder)
    if (errors.length > 0) throw new DockerfileErrors(errors, parsed.name, parsed.text)
    // A check of all stages leaves out the triggers that no build of the target would run, as BuildKit does.
    const built = table.reachableFrom([target])
    let hasNew = false
    for (const state of inOrder) {
      if (built.has(state)) hasNew = addTriggers(table, state) || hasNew
    }
    if (!hasNew) return needed
  }
}

/** Applies the commands of the needed stages in the order of the file; adds one error per stage to `errors`. */
function applyStages(
  conversion: Conversion,
  needed: ReadonlySet<StageState>,
  errors: DockerfileError[],
): void {
  for (const state of conversion.table.externals) {
    if (needed.has(state)) state.result = convertStage(conversion, state)
  }
  const failed = new Set<StageState>()
  for (const state of conversion.table.stages) {
    if (!needed.has(state)) continue
    if (dependenciesOf(state).some((other) => failed.has(other))) {
      failed.add(state)
      continue
    }
    try {
      state.result = convertStage(conversion, state)
    } catch (error) {
      if (!(error instanceof DockerfileError)) throw error
      errors.push(error)
      failed.add(state)
    }
  }
}
