import type { StageContext } from './conversion.ts'
import { commandError, expandIn, workingDirectory } from './conversion.ts'
import { goQuote } from './go-format.ts'
import type { NodeId, RunMount } from './graph.ts'
import type { MountSpec } from './instructions/mount-syntax.ts'
import { MountSyntaxError, parseMount } from './instructions/mount-syntax.ts'
import type { RunCommand } from './instructions/run.ts'
import { baseName, cleanPath, joinAbsolute } from './posix-path.ts'
import type { StageState } from './stages.ts'

const CACHE_MODE = 0o755
/** BuildKit makes a cache directory without set-id and sticky bits. */
const PERMISSION_BITS = 0o777
const SECRET_MODE = 0o400
const SOCKET_MODE = 0o600

/** Mounts of a RUN (features rows D67-D74). Of two with one target the last counts. Throws DockerfileError. */
export function convertMounts(
  context: StageContext,
  command: RunCommand,
  sources: readonly (StageState | undefined)[],
): readonly RunMount[] {
  const mounts: RunMount[] = []
  command.mounts.forEach(({ text }, index) => {
    const spec = readSpec(context, command, text)
    const agents = mounts.filter(({ type }) => type === 'ssh').length
    mounts.push(convertMount(context, { command, spec, text, source: sources[index], agents }))
  })
  return mounts.filter((mount, index) => !isCovered(mount, mounts.slice(index + 1)))
}

function isCovered(mount: RunMount, later: readonly RunMount[]): boolean {
  const { target } = mount
  return target !== undefined && later.some((other) => other.target === target)
}

function readSpec(context: StageContext, command: RunCommand, text: string): MountSpec {
  try {
    return parseMount(text, (word) => expandIn(context, command, word))
  } catch (error) {
    if (!(error instanceof MountSyntaxError)) throw error
    const { focus, suggestion } = error
    throw commandError(command, error.message, { code: 'bad-flag', focus, suggestion })
  }
}

interface MountRequest {
  readonly command: RunCommand
  readonly spec: MountSpec
  readonly text: string
  readonly source: StageState | undefined
  /** Agents mounted before this one. */
  readonly agents: number
}

function convertMount(context: StageContext, request: MountRequest): RunMount {
  switch (request.spec.type) {
    case 'secret':
      return secretMount(context, request)
    case 'ssh':
      return agentMount(context, request)
    case 'tmpfs': {
      const { sizeBytes, isReadonly } = request.spec
      return { type: 'tmpfs', target: mountTarget(context, request), sizeBytes, isReadonly }
    }
    case 'bind':
      return bindMount(context, request)
    case 'cache':
      return cacheMount(context, request)
  }
}

/** Absolute target; relative ones begin at WORKDIR. */
function mountTarget(context: StageContext, request: MountRequest): string {
  const target = joinAbsolute(workingDirectory(context), request.spec.target)
  if (target !== '/') return target
  const message = `invalid mount target ${goQuote(target)}`
  throw commandError(request.command, message, { code: 'bad-flag', focus: request.text })
}

function bindMount(context: StageContext, request: MountRequest): RunMount {
  const { spec } = request
  return {
    type: 'bind',
    from: mountSource(request) ?? context.conversion.graph.context('context'),
    target: mountTarget(context, request),
    source: joinAbsolute('/', spec.source),
    isReadonly: spec.isReadonly,
  }
}

function cacheMount(context: StageContext, request: MountRequest): RunMount {
  const { spec } = request
  const from = mountSource(request)
  const target = mountTarget(context, request)
  const namespace = context.conversion.buildArgs.get('BUILDKIT_CACHE_MOUNT_NS') ?? ''
  const id = spec.id === '' ? cleanPath(spec.target) : spec.id
  return {
    type: 'cache',
    target,
    cacheId: `${namespace}/${id}`,
    sharing: spec.sharing ?? 'shared',
    from,
    source: joinAbsolute('/', spec.source),
    mode: (spec.mode ?? CACHE_MODE) & PERMISSION_BITS,
    uid: spec.uid ?? 0,
    gid: spec.gid ?? 0,
    isReadonly: spec.isReadonly,
  }
}

function mountSource(request: MountRequest): NodeId | undefined {
  const { command, spec, source } = request
  if (source === undefined || (spec.type === 'cache' && spec.from === 'scratch')) return undefined
  if (source.result !== undefined) return source.result.node
  const message =
    `cannot mount from stage ${goQuote(spec.from)} to ${goQuote(spec.target)}, ` +
    'stage needs to be defined before current command'
  const related = { range: source.range, label: 'the stage is defined here' }
  throw commandError(command, message, { code: 'stage-order', focus: spec.from, related })
}

function secretMount(context: StageContext, { command, spec, text }: MountRequest): RunMount {
  const id = spec.source || spec.id || (spec.target === '' ? '' : baseName(spec.target))
  if (id === '') {
    const message = 'one of source, target required'
    throw commandError(command, message, { code: 'bad-flag', focus: text })
  }
  const target = spec.target || (spec.env === undefined ? `/run/secrets/${baseName(id)}` : '')
  return {
    type: 'secret',
    secretId: id,
    target: target === '' ? undefined : joinAbsolute(workingDirectory(context), target),
    env: spec.env,
    isRequired: spec.isRequired,
    mode: spec.mode ?? SECRET_MODE,
    uid: spec.uid ?? 0,
    gid: spec.gid ?? 0,
  }
}

function agentMount(context: StageContext, request: MountRequest): RunMount {
  const { command, spec, text, agents } = request
  if (spec.source !== '') {
    const message = 'ssh does not support source'
    throw commandError(command, message, { code: 'bad-flag', focus: text })
  }
  return {
    type: 'ssh',
    sshId: spec.id || 'default',
    target: joinAbsolute(
      workingDirectory(context),
      spec.target || `/run/buildkit/ssh_agent.${agents}`,
    ),
    isRequired: spec.isRequired,
    mode: spec.mode ?? SOCKET_MODE,
    uid: spec.uid ?? 0,
    gid: spec.gid ?? 0,
  }
}
