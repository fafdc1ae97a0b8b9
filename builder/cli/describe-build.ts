import { join, normalize } from 'node:path'
import {
  check,
  checkJson,
  DockerfileErrors,
  listTargets,
  outline,
  outlineJson,
  type ParsedDockerfile,
  parseDockerfile,
  type ParseOptions,
  renderCheck,
  renderOutline,
  renderRequests,
  renderTargets,
  requestsJson,
  targetsJson,
} from '../../frontend/index.ts'
import {
  definitionResolver,
  loadDefinition,
  loadIgnore,
  tellWarnings,
} from '../build-definition.ts'
import { BuildSession } from '../build-session.ts'
import { describedOptions } from '../convert-options.ts'
import type { BuildRequest } from '../request.ts'
import { startWorker } from '../worker/start-worker.ts'
import type { ParsedArgs } from './args.ts'
import type { CommandContext } from './command.ts'
import { describeFailedBuild, type FailureDetails } from './failed-build.ts'
import type { ProgressPrinter } from './progress/printer.ts'
import type { CallMethod } from './request/call-method.ts'
import { openServices, Registries } from './services.ts'

/**
 * `--check` and `--call` (features rows L24-L27): describes the Dockerfile on stdout instead of building it. Base images are still
 * asked for, nothing is executed. Resolves to the exit status: 1 when a check found something.
 */
export async function describeBuild(
  request: BuildRequest,
  call: CallMethod,
  args: ParsedArgs,
  context: DescribeContext,
): Promise<number> {
  const { signal, stdout } = context
  const answer = await withSession(request, args, context, (session) =>
    describe(request, call, session, { placeName: dockerfilePlace(request, args), signal }),
  )
  stdout.write(answer.text === '' || answer.text.endsWith('\n') ? answer.text : `${answer.text}\n`)
  return call.ignoresStatus ? 0 : answer.status
}

/** A command's world with the printer of its progress. */
export type DescribeContext = CommandContext &
  Pick<FailureDetails, 'doing'> & { readonly printer: ProgressPrinter }

/** Opens what a description needs of a build: its files and images, nothing that executes. */
export async function withSession<Value>(
  request: BuildRequest,
  args: ParsedArgs,
  context: DescribeContext,
  work: (session: BuildSession) => Promise<Value>,
): Promise<Value> {
  const { doing, printer, signal, env } = context
  await using services = await openServices(args, context)
  await using registries = new Registries(args, context, (text) =>
    printer.handle({ type: 'notice', atMs: 0, text }),
  )
  await using session = new BuildSession(request, {
    ...services,
    registry: () => registries.client(),
    startWorker: (inner) => startWorker({ store: services.store }, inner),
    exporters: [],
    events: (event) => printer.handle(event),
    env,
    signal,
  })
  try {
    return await work(session)
  } catch (error) {
    throw await describeFailedBuild(error, printer.showsFailedLogs, { doing })
  } finally {
    printer.finish()
  }
}

async function describe(
  request: BuildRequest,
  call: CallMethod,
  session: BuildSession,
  { placeName, signal }: { readonly placeName: PlaceName; readonly signal: AbortSignal },
): Promise<{ readonly text: string; readonly status: number }> {
  const file = await loadDefinition(session)
  const parseOptions: ParseOptions = {
    name: file.name,
    syntax: request.buildArgs.get('BUILDKIT_SYNTAX'),
  }
  const isJson = call.format === 'json'
  const resolver = definitionResolver(session)
  switch (call.method) {
    case 'check': {
      const options = { ...describedOptions(request), ignore: await loadIgnore(session) }
      const report = await check({ text: file.text, parseOptions, options, resolver, signal })
      const status = report.warnings.length > 0 || report.error !== undefined ? 1 : 0
      const shown = { ...report, fileName: placeName(report.fileName) }
      return { text: isJson ? checkJson(report) : renderCheck(shown), status }
    }
    case 'outline': {
      const options = { ...describedOptions(request), ignore: await loadIgnore(session) }
      const data = await outline(parsed(), options, resolver, signal).catch((error: unknown) => {
        if (error instanceof DockerfileErrors) tellWarnings(error.warnings, session, file)
        throw error
      })
      tellWarnings(data.warnings, session, file)
      return { text: isJson ? outlineJson(data, file.text) : renderOutline(data), status: 0 }
    }
    case 'targets':
      return {
        text: isJson ? targetsJson(parsed()) : renderTargets(listTargets(parsed())),
        status: 0,
      }
    case 'subrequests.describe':
      return { text: isJson ? requestsJson() : renderRequests(), status: 0 }
    default:
      return call.method satisfies never
  }
  function parsed(): ParsedDockerfile {
    return parseDockerfile(file.text, parseOptions)
  }
}

/** What stands before the line of a warning, for the name that the Dockerfile has in JSON. */
type PlaceName = (fileName: string) => string

/** As buildx has it: the path from where the user is, so that editors and terminals find it. */
function dockerfilePlace({ context, dockerfile }: BuildRequest, args: ParsedArgs): PlaceName {
  const file = args.text('file') ?? ''
  const [contextText = ''] = args.positionals
  if (file === '-') return () => 'stdin'
  if (dockerfile.kind !== 'path' || context.kind !== 'directory') return (fileName) => fileName
  return (fileName) => (file === '' ? join(contextText, fileName) : normalize(file))
}
