import type { Conversion, StageContext } from './conversion.ts'
import {
  convertArg,
  convertHealthcheck,
  convertList,
  convertPairs,
  convertProcess,
  convertText,
} from './convert-config.ts'
import { convertCopy } from './convert-copy.ts'
import { convertRun } from './convert-run.ts'
import { convertWorkdir, normalizeWorkdir } from './convert-workdir.ts'
import { Environment, splitAssignment } from './environment.ts'
import { internalOrigin } from './graph-builder.ts'
import type { NodeId, PlannedHistory } from './graph.ts'
import { DEFAULT_PATH } from './resolve-bases.ts'
import type { BoundCommand, ResolvedBase, StageResult, StageState } from './stages.ts'
import { isReplaced } from './stages.ts'

/**
 * Applies the commands of a stage to its base, which must be there. For a stage that a named context replaces, and for an
 * image that COPY --from names, the result is the base itself. Throws the DockerfileError of the first bad command.
 */
export function convertStage(conversion: Conversion, state: StageState): StageResult {
  if (isReplaced(state) || state.stage === undefined) return baseOnly(requireBase(state))
  const context = startStage(conversion, state)
  for (const bound of state.commands) applyCommand(context, bound)
  return {
    node: context.node,
    imageNode: bottomOf(state).imageNode,
    config: context.config,
    platform: state.platform ?? conversion.options.targetPlatform,
    history: context.history,
    environment: context.environment,
    args: context.args,
    hasWorkdir: context.hasWorkdir,
  }
}

function baseOnly(base: ResolvedBase): StageResult {
  const { node, imageNode, config, platform, history } = base
  const environment = new Environment()
  return { node, imageNode, config, platform, history, environment, args: [], hasWorkdir: false }
}

function requireBase(state: StageState): ResolvedBase {
  if (state.base === undefined) throw new Error(`base of stage ${state.title} is not resolved`)
  return state.base
}

/** What the stage begins with: a stage of the file as it ended, or a base from outside. */
function bottomOf(state: StageState): StageResult {
  if (state.origin.kind !== 'stage') return baseOnly(requireBase(state))
  const { result, title } = state.origin.base
  if (result === undefined) throw new Error(`stage ${title} is not converted`)
  return result
}

function startStage(conversion: Conversion, state: StageState): StageContext {
  const bottom = bottomOf(state)
  state.platform = bottom.platform
  const config = structuredClone(bottom.config)
  delete config.config.OnBuild
  const { node, history } = withLayerForContext(conversion, bottom)
  const isFile = state.origin.kind === 'stage' && !isReplaced(state.origin.base)
  const context: StageContext = {
    conversion,
    state,
    environment: isFile ? bottom.environment.clone() : new Environment(),
    config,
    args: [...bottom.args],
    history: [...history],
    node,
    hasWorkdir: bottom.hasWorkdir,
    last: new Map(),
  }
  applyBaseConfig(context)
  return context
}

/** The base's environment and workdir, and a PATH when there is none (features rows D60, D143). */
function applyBaseConfig(context: StageContext): void {
  const { config, environment } = context
  const list = [...(config.config.Env ?? [])]
  if (
    context.state.platform?.os !== 'windows' &&
    !list.some((entry) => entry.startsWith('PATH='))
  ) {
    list.push(`PATH=${DEFAULT_PATH}`)
  }
  if (list.length > 0) config.config.Env = list
  for (const entry of list) environment.set(...splitAssignment(entry))
  const { WorkingDir } = config.config
  if (WorkingDir !== undefined && WorkingDir !== '') {
    config.config.WorkingDir = normalizeWorkdir('/', WorkingDir)
  }
}

/** A context without an image config that is used as a filesystem: its files become one layer on nothing. */
export function withLayerForContext(
  conversion: Conversion,
  bottom: Pick<StageResult, 'node' | 'history'>,
): { readonly node: NodeId; readonly history: readonly PlannedHistory[] } {
  const { node, history } = bottom
  const { graph, epochSec } = conversion
  const context = graph.nodes[node]
  if (context?.kind !== 'context') return { node, history }
  const layer = graph.shared(`layer of context ${context.name}`, () => ({
    kind: 'copy',
    parent: graph.scratch(),
    sources: [{ type: 'path', from: node, pattern: '/', unpack: 'never', isRemote: false }],
    dest: '/',
    destIsDirectory: true,
    chown: undefined,
    chmod: undefined,
    link: false,
    parents: false,
    exclude: [],
    epochSec,
    origin: internalOrigin(`[context ${context.name}] copy to a layer`),
  }))
  const createdBy = `local source for ${context.name}`
  const comment = 'buildkit.exporter.image.v0'
  const entry = { createdBy, comment, author: undefined, node: layer }
  return { node: layer, history: [...history, entry] }
}

function applyCommand(context: StageContext, bound: BoundCommand): void {
  const { command } = bound
  switch (command.kind) {
    case 'add':
    case 'copy':
      convertCopy(context, command, bound)
      break
    case 'run':
      convertRun(context, command, bound)
      break
    case 'workdir':
      convertWorkdir(context, command, bound)
      break
    case 'user':
    case 'stopsignal':
    case 'maintainer':
      convertText(context, command)
      break
    case 'env':
    case 'label':
      convertPairs(context, command)
      break
    case 'arg':
      convertArg(context, command)
      break
    case 'cmd':
    case 'entrypoint':
      convertProcess(context, command)
      break
    case 'expose':
    case 'volume':
    case 'shell':
      convertList(context, command)
      break
    case 'healthcheck':
      convertHealthcheck(context, command)
      break
    case 'onbuild': {
      const { config } = context.config
      config.OnBuild = [...(config.OnBuild ?? []), command.expression]
    }
  }
}
