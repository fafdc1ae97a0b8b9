import { availableParallelism } from 'node:os'
import { formatPlatform } from '../../../registry-client/oci/index.ts'
import type {
  AnnotationRequest,
  BuildRequest,
  ContextLocation,
  DockerfileLocation,
} from '../../request.ts'
import { isMultiPlatform } from '../../steering-args.ts'
import type { ParsedArgs } from '../args.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { readAnnotation } from './annotations.ts'
import { refuseAttestations } from './attestations.ts'
import { readCacheExports, readCacheImports, withInlineCache } from './cache-locations.ts'
import { withClientProxies } from './client-proxies.ts'
import { readContextArgument, readNamedContexts } from './contexts.ts'
import { readEntitlements, readExtraHosts, readNetwork, readUlimits } from './limits.ts'
import { readOutputs } from './outputs.ts'
import { readBuildArgs, readLabels } from './pairs.ts'
import { readPlatforms } from './platform.ts'
import { readTag } from './reference.ts'
import { checkSsh, readSecrets, readSsh } from './secrets.ts'
import { readShmSizeBytes } from './size.ts'
import { readResources } from './resources.ts'
import { refuseSourcePolicy } from './source-policy.ts'
import { readStdinDockerfile, readStdinInput } from './stdin-input.ts'

/**
 * What the command line asks for, checked as far as that is possible without building. Disposing of it removes what
 * stdin was spooled to. Errors: `UsageError`; `CommandError` `context-missing`, `context-unreadable`.
 */
export async function readBuildRequest(
  args: ParsedArgs,
  context: CommandContext,
): Promise<{ readonly request: BuildRequest } & AsyncDisposable> {
  refuseAttestations(args)
  refuseSourcePolicy(context.env)
  const network = readNetwork(args.text('network'))
  const tags = args.list('tag').map((text) => readTag(text))
  const outputs = readOutputs(written(args, 'output'), {
    tags,
    push: args.boolean('push') ?? false,
    load: args.boolean('load') ?? false,
    annotations: written(args, 'annotation').flatMap(readAnnotation),
  })
  const platformTexts = platformValues(args, context.env)
  const given = await withClientProxies(buildArgs(args, context.env), context.env)
  const options = {
    target: args.text('target') || undefined,
    buildArgs: given,
    labels: readLabels(args.list('label')),
    ...readPlatforms(platformTexts),
    isPlatformExplicit: platformTexts.length > 0,
    noCache: args.boolean('no-cache') ?? false,
    noCacheFilter: noCacheFilter(args),
    pull: args.boolean('pull') ?? false,
    tags,
    outputs,
    cacheFrom: readCacheImports(written(args, 'cache-from'), context.cwd),
    cacheTo: withInlineCache(readCacheExports(written(args, 'cache-to'), context.cwd), given),
    ssh: await checkSsh(readSsh(written(args, 'ssh'), context.cwd), context.env),
    network,
    extraHosts: readExtraHosts(written(args, 'add-host')),
    ulimits: readUlimits(args.list('ulimit')),
    shmSizeBytes: readShmSizeBytes(args.text('shm-size')),
    cgroupParent: args.text('cgroup-parent'),
    limits: readResources(args),
    allow: readEntitlements(written(args, 'allow'), network),
    parallelStepsMax: 2 * availableParallelism(),
  } satisfies Partial<BuildRequest>
  checkResultFiles(args, options.outputs)
  checkDeletion(options)
  checkAnnotations(options)
  const secrets = await readSecrets(written(args, 'secret'), context)
  const namedContexts = await readNamedContexts(written(args, 'build-context'), context.cwd)
  const inputs = await readInputs(args, context)
  return {
    request: { ...options, ...inputs.locations, secrets, namedContexts },
    [Symbol.asyncDispose]: inputs[Symbol.asyncDispose],
  }
}

interface Inputs extends AsyncDisposable {
  readonly locations: { readonly context: ContextLocation; readonly dockerfile: DockerfileLocation }
}

async function readInputs(args: ParsedArgs, command: CommandContext): Promise<Inputs> {
  const { stdin, cwd, signal } = command
  const [contextText = ''] = args.positionals
  const file = args.text('file')
  const isRemote = file !== undefined && /^https?:\/\//.test(file)
  const keep = async (): Promise<void> => {}
  if (contextText !== '-') {
    const context = await readContextArgument(contextText, cwd)
    const dockerfile: DockerfileLocation =
      file === '-'
        ? { kind: 'text', text: await readStdinDockerfile(stdin, signal), name: 'Dockerfile' }
        : isRemote
          ? await (await import('./remote-dockerfile.ts')).readRemoteDockerfile(file, command)
          : dockerfilePath(file)
    return { locations: { context, dockerfile }, [Symbol.asyncDispose]: keep }
  }
  if (file === '-') {
    throw new UsageError('context and Dockerfile cannot both come from stdin')
  }
  const input = await readStdinInput(stdin, signal)
  if (input.kind === 'archive') {
    const context: ContextLocation = { kind: 'archive', path: input.path, origin: 'stdin' }
    return {
      locations: { context, dockerfile: dockerfilePath(file) },
      [Symbol.asyncDispose]: input[Symbol.asyncDispose],
    }
  }
  if (file !== undefined) {
    throw new UsageError(
      `ambiguous Dockerfile source: stdin holds a Dockerfile, and --file ${file} names another`,
    )
  }
  const dockerfile: DockerfileLocation = { kind: 'text', text: input.text, name: 'Dockerfile' }
  return { locations: { context: { kind: 'none' }, dockerfile }, [Symbol.asyncDispose]: keep }
}

/** Relative to the cwd when it was given; the default is in the context (features row D1). */
function dockerfilePath(file: string | undefined): DockerfileLocation {
  if (file !== undefined && file !== '') {
    return { kind: 'path', path: file, isDefault: false }
  }
  return { kind: 'path', path: 'Dockerfile', isDefault: true }
}

/** Values of a flag; empty ones are of variables that are not set, and count as not given, as in buildx. */
function written(args: ParsedArgs, flag: string): string[] {
  return args.list(flag).filter((text) => text !== '')
}

/** Names of stages. Beside `--no-cache` they say nothing more; buildx takes that for a mistake, too. */
function noCacheFilter(args: ParsedArgs): string[] {
  const names = args.list('no-cache-filter').flatMap((text) => (text === '' ? [] : text.split(',')))
  if (names.length > 0 && args.boolean('no-cache') === true)
    throw new UsageError('--no-cache and --no-cache-filter cannot be used together')
  return names
}

function platformValues(args: ParsedArgs, env: CommandContext['env']): readonly string[] {
  const given = args.list('platform')
  const byDefault = env['DOCKER_DEFAULT_PLATFORM']
  return given.length > 0 || byDefault === undefined || byDefault === '' ? given : [byDefault]
}

/** SOURCE_DATE_EPOCH of the environment counts as a build argument unless one was given, as in buildx. */
function buildArgs(args: ParsedArgs, env: CommandContext['env']): Map<string, string> {
  const own = readBuildArgs(args.list('build-arg'), env)
  const epoch = env['SOURCE_DATE_EPOCH']
  return own.has('SOURCE_DATE_EPOCH') || epoch === undefined || epoch === ''
    ? own
    : own.set('SOURCE_DATE_EPOCH', epoch)
}

/** Removing files wants to be asked for twice, as in buildx (features row C37). */
function checkDeletion({ outputs, allow }: Pick<BuildRequest, 'outputs' | 'allow'>): void {
  const isDeleting = outputs.some((output) => output.type === 'local' && output.isMirror === true)
  if (isDeleting && !allow.includes('buildx.local.delete')) {
    throw new UsageError(
      'mode=delete removes what is at dest and not in the result: allow it with --allow buildx.local.delete',
    )
  }
}

function checkResultFiles(args: ParsedArgs, outputs: BuildRequest['outputs']): void {
  const files = outputs.find(({ type }) => type === 'local' || type === 'tar')
  if (files !== undefined && args.text('iidfile') !== undefined && outputs.length === 1) {
    throw new UsageError(
      `--iidfile cannot be used with output type=${files.type}: there is no image`,
    )
  }
  const stdoutCount = outputs.filter((output) => 'dest' in output && output.dest === '-').length
  if (stdoutCount > 1) {
    throw new UsageError('only one output can go to stdout')
  }
}

/**
 * An image of one platform has no index to annotate, and a platform that is not built has no manifest (features row C20);
 * attributes of outputs (`annotation-index.`) count too.
 */
function checkAnnotations(
  request: Pick<BuildRequest, 'platforms' | 'repeatedPlatforms' | 'outputs' | 'buildArgs'>,
): void {
  const hasIndex = isMultiPlatform(request)
  const built = new Set(request.platforms.map(formatPlatform))
  for (const { level, platform, key, isOci } of request.outputs.flatMap(annotationsOf)) {
    const isOfIndex = level === 'index' || level === 'index-descriptor'
    if (isOfIndex && !hasIndex) {
      throw new UsageError(`--annotation ${level}:${key}: index annotations need several platforms`)
    }
    if (level !== 'manifest' && !isOci) {
      throw new UsageError(
        `--annotation ${level}:${key} cannot be written with oci-mediatypes=false: Docker's types have no such annotations`,
      )
    }
    if (platform !== undefined && !built.has(platform)) {
      throw new UsageError(
        `--annotation ${level}[${platform}]:${key}: the build is for ${[...built].join(', ')}`,
      )
    }
  }
}

function annotationsOf(
  output: BuildRequest['outputs'][number],
): (AnnotationRequest & { readonly isOci: boolean })[] {
  return 'annotations' in output
    ? output.annotations.map((one) => ({ ...one, isOci: output.format.useOciMediaTypes }))
    : []
}
