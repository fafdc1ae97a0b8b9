import { basename } from 'node:path'
import {
  type BuildGraph,
  convert,
  type ConvertOptions,
  type NodeId,
  type ParsedDockerfile,
  parseDockerfile,
} from '../frontend/index.ts'
import { formatPlatform, localPlatform, type Platform } from '../registry-client/oci/index.ts'
import { exportCaches, inlineCaches } from './build-caches.ts'
import type { BuildExports, SolvedPlatform } from './build-exports.ts'
import type { BuildOutcome, BuildServices } from './build-services.ts'
import { BuildSession } from './build-session.ts'
import { CacheJournal } from './cache/journal.ts'
import { readContextIgnore } from './context/context-ignore.ts'
import { BuildError, CachedLayerUnavailable, StepError } from './errors.ts'
import { frontendResolver } from './ops/frontend-resolver.ts'
import { GraphExecutor, type NodeResult } from './ops/graph-executor.ts'
import type { BuildRequest } from './request.ts'
import { definitionKeys } from './solver/definition-key.ts'
import type { BuildLayer } from './solver/layer.ts'
import { type NodeExecutor, Scheduler } from './solver/schedule.ts'
import { targetChain } from './solver/target-chain.ts'

/**
 * Builds what the request says and hands it to the exporters. Nothing is left running when it returns or throws. Errors:
 * `StepError` for a step (its cause says why), `DockerfileErrors`, `ContextError`, `BuildError`, those of registry and
 * exporters; the signal's reason when aborted.
 */
export async function build(request: BuildRequest, services: BuildServices): Promise<BuildOutcome> {
  refuseUnsupported(request)
  await using session = new BuildSession(request, services)
  const { signal } = services
  const dockerfile = await readDockerfile(session)
  const parsed = parseDockerfile(dockerfile.text, {
    name: dockerfile.name,
    syntax: request.buildArgs.get('BUILDKIT_SYNTAX'),
  })
  const graphs = await convertAll(parsed, session, signal)
  tellWarnings(graphs, session)
  const { solved, result, exports } = await solveAndExport(session, graphs, dockerfile)
  await exportCaches(session, solved, solved.signal)
  return { summary: summaryOf(result, exports), result, exports }
}

async function readDockerfile(
  session: BuildSession,
): Promise<{ readonly name: string; readonly text: string }> {
  const { dockerfile } = session.request
  const name = dockerfile.kind === 'text' ? dockerfile.name : basename(dockerfile.path)
  const step = session.steps.start(`[internal] load build definition from ${name}`)
  try {
    const found = await session.contexts.dockerfile()
    step.end('done')
    return found
  } catch (error) {
    step.end('failed', error instanceof Error ? error.message : String(error))
    throw error
  }
}

/** One graph for each platform; all base images are asked for side by side. */
async function convertAll(
  parsed: ParsedDockerfile,
  session: BuildSession,
  signal: AbortSignal,
): Promise<BuildGraph[]> {
  const resolver = frontendResolver(session.resolver, session.request.namedContexts, (source) =>
    session.contexts.epochOf(source),
  )
  const ignore = await readContextIgnore(session.request)
  return await Promise.all(
    session.request.platforms.map((platform) =>
      convert(parsed, { ...convertOptions(session.request, platform), ignore }, resolver, signal),
    ),
  )
}

/** Lint findings (features row L23), each once however many platforms there are. */
function tellWarnings(graphs: readonly BuildGraph[], session: BuildSession): void {
  const told = new Set<string>()
  for (const { rule, detail, range, description, url } of graphs.flatMap((one) => one.warnings)) {
    const text = `${rule}: ${detail} (line ${range.startLine})`
    if (!told.has(text)) {
      told.add(text)
      session.steps.warning(text, { rule: { description, url, range } })
    }
  }
}

function convertOptions(request: BuildRequest, targetPlatform: Platform): ConvertOptions {
  return {
    target: request.target,
    buildArgs: request.buildArgs,
    buildPlatform: localPlatform(),
    targetPlatform,
    isPlatformExplicit: request.isPlatformExplicit,
    isMultiPlatform: request.platforms.length > 1,
    namedContexts: new Set(request.namedContexts.keys()),
    labels: request.labels,
    noCache: request.noCache,
    noCacheFilter: request.noCacheFilter,
    network: request.network,
    hostname: request.buildArgs.get('BUILDKIT_SANDBOX_HOSTNAME'),
  }
}

interface Solved {
  readonly platforms: readonly SolvedPlatform[]
  readonly journal: CacheJournal
  readonly exports: BuildExports
  readonly signal: AbortSignal
}

interface Exported extends Omit<BuildOutcome, 'summary'> {
  readonly solved: Solved
}

/**
 * Does the graphs and hands the result to the exporters. A cache of `mode=min` names steps of other stages without their layers: as long as nothing needs the
 * files of such a stage, it is not built. When something does, everything is solved again without those names, because
 * what the stage gives now may differ from what they stand for (docs/decisions/005). A cached layer that turns out
 * to be none is forgotten in the same way.
 */
async function solveAndExport(
  session: BuildSession,
  graphs: readonly BuildGraph[],
  dockerfile: Dockerfile,
): Promise<Exported> {
  let allowsNamesOnly = session.remoteCaches !== undefined
  for (;;) {
    try {
      return await attempt(session, graphs, dockerfile, allowsNamesOnly)
    } catch (error) {
      const reason = error instanceof StepError ? error.cause : error
      if (!(reason instanceof CachedLayerUnavailable)) {
        throw error
      }
      if (reason.cause === undefined) {
        session.steps.notice(
          'a stage is needed whose layers the cache does not hold (mode=max would): it is built',
        )
      } else {
        session.steps.warning(`${reason.message}; building without it`)
        session.remoteCaches?.forget(reason.diffId)
      }
      allowsNamesOnly = false
    }
  }
}

async function attempt(
  session: BuildSession,
  graphs: readonly BuildGraph[],
  dockerfile: Dockerfile,
  allowsNamesOnly: boolean,
): Promise<Exported> {
  const journal = new CacheJournal()
  const { scheduler, exports } = prepare(session, graphs, dockerfile, { journal, allowsNamesOnly })
  const platforms = await solveAll(graphs, scheduler, session)
  const solved = { platforms, journal, exports, signal: scheduler.signal }
  const inline = await inlineCaches(session, solved)
  return { solved, ...(await exports.finish(platforms, inline, scheduler.signal)) }
}

type Dockerfile = { readonly name: string; readonly text: string }

function prepare(
  session: BuildSession,
  graphs: readonly BuildGraph[],
  dockerfile: Dockerfile,
  options: { readonly journal: CacheJournal; readonly allowsNamesOnly: boolean },
): {
  readonly scheduler: Scheduler<NodeResult>
  readonly exports: BuildExports
} {
  const { request, services } = session
  const exports = session.openExports(graphs[0]?.epochSec)
  const chains = new Set(graphs.flatMap((graph) => targetChain(graph).map((id) => graph.nodes[id])))
  const execute: NodeExecutor<NodeResult> = async (task, inputs, signal) => {
    try {
      const result = await executor.execute(task, inputs, signal)
      if (chains.has(task.node)) {
        scheduler.background(announceNew(result, task.node, exports, signal))
      }
      return result
    } catch (error) {
      throw located(error, task.node, dockerfile, signal)
    }
  }
  const scheduler = new Scheduler(execute, services.signal)
  const executor = new GraphExecutor(
    session.executorParts({
      ...options,
      format: exports.packFormat,
      signal: scheduler.signal,
      background: (work) => scheduler.background(work),
      project: `${session.contexts.identity('context')} ${dockerfile.name} ${request.target ?? ''}`,
    }),
  )
  return { scheduler, exports }
}

/** The layers that a node of the target's chain adds: all of a base image, the top one of a step. */
async function announceNew(
  result: NodeResult,
  node: BuildGraph['nodes'][number],
  exports: BuildExports,
  signal: AbortSignal,
): Promise<void> {
  if (result.kind !== 'stack') {
    return
  }
  const added: readonly BuildLayer[] =
    node.kind === 'image' ? result.layers : result.layers.slice(-1)
  await Promise.all(added.map((layer) => exports.announce(layer, signal)))
}

async function solveAll(
  graphs: readonly BuildGraph[],
  scheduler: Scheduler<NodeResult>,
  session: BuildSession,
): Promise<SolvedPlatform[]> {
  try {
    const platforms = await Promise.all(
      graphs.map((graph) => solvePlatform(graph, scheduler, session)),
    )
    await scheduler.drain()
    return platforms
  } finally {
    // What was hashed is as true after a failure.
    await session.contexts.save()
  }
}

async function solvePlatform(
  graph: BuildGraph,
  scheduler: Scheduler<NodeResult>,
  session: BuildSession,
): Promise<SolvedPlatform> {
  const definitions = definitionKeys(graph.nodes, {
    contextIdentity: (name) => session.contexts.identity(name),
    runOptions: session.runOptionsKey,
  })
  const scheduled = { nodes: graph.nodes, definitions }
  const layers = stackOf(await scheduler.solve(scheduled, graph.target))
  const stacks = new Map<NodeId, SolvedPlatform['layers']>()
  for (const { node } of graph.history) {
    if (node !== undefined) {
      // Part of the target's chain, so it is done already.
      stacks.set(node, stackOf(await scheduler.solve(scheduled, node)))
    }
  }
  return { graph, layers, stacks }
}

function stackOf(result: NodeResult): SolvedPlatform['layers'] {
  if (result.kind !== 'stack') {
    throw new TypeError('the target of a build is no filesystem')
  }
  return result.layers
}

/** An error with its place in the Dockerfile; what an abort broke stays as it is. */
function located(
  error: unknown,
  node: BuildGraph['nodes'][number],
  dockerfile: { readonly name: string; readonly text: string },
  signal: AbortSignal,
): unknown {
  if (signal.aborted || error instanceof StepError || !(error instanceof Error)) {
    return error
  }
  return new StepError(error, { step: node.origin.title, range: node.origin.range, dockerfile })
}

function summaryOf(
  result: BuildOutcome['result'],
  outcomes: BuildOutcome['exports'],
): BuildOutcome['summary'] {
  const [image] = result.images
  if (image === undefined) {
    throw new RangeError('a build gave no image')
  }
  return {
    imageId: image.configDescriptor.digest,
    manifestDigest: (result.index ?? image.manifest).digest,
    names: outcomes.flatMap((outcome) => outcome?.names ?? []),
  }
}

function refuseUnsupported(request: BuildRequest): void {
  const names = request.platforms.map(formatPlatform)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) {
    throw new BuildError(
      'unsupported',
      `could not build for ${twice} twice: name each platform once`,
    )
  }
}
