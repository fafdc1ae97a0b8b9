import { errnoOf } from '../snapshotter/index.ts'
import type { BuildGraph, NodeId } from '../frontend/index.ts'
import { inlineCaches } from './build-caches.ts'
import type { BuildExports, SolvedPlatform } from './build-exports.ts'
import type { BuildOutcome } from './build-services.ts'
import type { BuildSession } from './build-session.ts'
import { CacheJournal } from './cache/journal.ts'
import { CachedLayerUnavailable, StepError } from './errors.ts'
import { GraphExecutor, type NodeResult } from './ops/graph-executor.ts'
import type { LayerAccess } from './ops/layer-access.ts'
import { definitionKeys } from './solver/definition-key.ts'
import type { BuildLayer } from './solver/layer.ts'
import { readByRuns } from './solver/read-by-runs.ts'
import { takenPaths } from './solver/taken-paths.ts'
import { type NodeExecutor, Scheduler } from './solver/schedule.ts'
import { targetChain } from './solver/target-chain.ts'

/** Graphs that are done. */
export interface Solved {
  readonly platforms: readonly SolvedPlatform[]
  readonly journal: CacheJournal
  readonly exports: BuildExports
  readonly signal: AbortSignal
}

export interface Exported extends BuildOutcome {
  readonly solved: Solved
}

/**
 * Does the graphs and hands the result to the exporters. A cache of `mode=min` names steps of other stages without
 * their layers: as long as nothing needs the files of such a stage, it is not built. When something does, everything is
 * solved again without those names, because what the stage gives now may differ from what they stand for
 * (docs/decisions/005). A cached layer that turns out to be none is forgotten in the same way, and so are files of the
 * state root that are damaged. Errors: as `build`.
 */
export async function solveAndExport(
  session: BuildSession,
  graphs: readonly BuildGraph[],
  dockerfile: Dockerfile,
): Promise<Exported> {
  let allowsNamesOnly = session.remoteCaches !== undefined
  for (let repairs = 0; ; ) {
    const run: Attempt = { access: session.openLayers(), allowsNamesOnly, isExporting: false }
    try {
      return await attempt(session, graphs, dockerfile, run)
    } catch (error) {
      const reason = error instanceof StepError ? error.cause : error
      if (!(reason instanceof CachedLayerUnavailable)) {
        const isRemoved = await removeDamaged(reason, run, session)
        // What was exported may have been seen already.
        if (!isRemoved || run.isExporting || repairs === REPAIRS_MAX) throw error
        repairs += 1
        continue
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

/** One try at the graph. */
interface Attempt {
  readonly access: LayerAccess
  readonly allowsNamesOnly: boolean
  isExporting: boolean
}

/** A disk that damages what was written just now is not to be built on. */
const REPAIRS_MAX = 3

/** Errors that tell of bytes that are not what they should be, whoever read them. */
const DAMAGE_CODES: ReadonlySet<unknown> = new Set([
  'contents-damaged',
  'blob-corrupt',
  'bad-archive',
  'digest-mismatch',
  'diff-id-mismatch',
  'layer-missing',
  'content-changed',
  'ENOENT',
])

/** Whether `reason` is that something in the state root is damaged; then it is gone now, and the user was told. */
async function removeDamaged(
  reason: unknown,
  { access, isExporting }: Attempt,
  { contexts, services: { signal }, steps }: BuildSession,
): Promise<boolean> {
  const code = errnoOf(reason)
  if (signal.aborted || !DAMAGE_CODES.has(code)) return false
  const layers = (await access.removeDamaged(signal)).map(({ title }) => title)
  const damaged = (await contexts.removeDamaged()) ? [...layers, 'downloads'] : layers
  if (damaged.length === 0) return false
  const titles = [...new Set(damaged)].join(', ')
  const next = isExporting ? 'build again' : 'it is made again'
  steps.warning(`what the state root had of ${titles} was damaged and is removed; ${next}`)
  return true
}

async function attempt(
  session: BuildSession,
  graphs: readonly BuildGraph[],
  dockerfile: Dockerfile,
  run: Attempt,
): Promise<Exported> {
  const journal = new CacheJournal()
  const { scheduler, exports } = prepare(session, graphs, dockerfile, { journal, ...run })
  try {
    const platforms = await solveAll(graphs, scheduler, session)
    const solved = { platforms, journal, exports, signal: scheduler.signal }
    const inline = await inlineCaches(session, solved)
    run.isExporting = true
    return { solved, ...(await exports.finish(platforms, inline, scheduler.signal)) }
  } catch (error) {
    if (scheduler.signal.aborted) await exports.abandon()
    throw error
  }
}

type Dockerfile = { readonly name: string; readonly text: string }

function prepare(
  session: BuildSession,
  graphs: readonly BuildGraph[],
  dockerfile: Dockerfile,
  options: Pick<Attempt, 'access' | 'allowsNamesOnly'> & { readonly journal: CacheJournal },
): { readonly scheduler: Scheduler<NodeResult>; readonly exports: BuildExports } {
  const { request, services } = session
  const exports = session.openExports(options.access, graphs[0]?.epochSec)
  const chains = new Set(graphs.flatMap((graph) => targetChain(graph).map((id) => graph.nodes[id])))
  const readByRun = new Set(graphs.flatMap((graph) => [...readByRuns(graph)]))
  const taken = new Map(
    graphs.flatMap((graph) => {
      const paths = takenPaths(graph)
      return graph.nodes.map((node) => [node, paths])
    }),
  )
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
      isReadByRun: (node) => readByRun.has(node),
      takenFrom: (node, context) => taken.get(node)?.get(context) ?? [],
      located: (error, node) => located(error, node, dockerfile, scheduler.signal),
      signal: scheduler.signal,
      background: (work) => scheduler.background(work),
      project: `${session.contexts.identity('context')} ${dockerfile.name} ${request.target ?? ''}`,
    }),
  )
  scheduler.background(exports.check(scheduler.signal))
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
  let platforms: SolvedPlatform[]
  try {
    platforms = await Promise.all(graphs.map((graph) => solvePlatform(graph, scheduler, session)))
    await scheduler.drain()
  } catch (error) {
    // What was hashed is as true after a failure. The failure is what is told, whatever becomes of that.
    await Promise.allSettled([session.contexts.save()])
    throw error
  }
  await session.contexts.save()
  return platforms
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
  dockerfile: Dockerfile,
  signal: AbortSignal,
): unknown {
  if (signal.aborted || error instanceof StepError || !(error instanceof Error)) {
    return error
  }
  return new StepError(error, { step: node.origin.title, range: node.origin.range, dockerfile })
}
