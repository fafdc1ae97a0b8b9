import { resolve } from 'node:path'
import type { BuildOutcome } from '../../build-services.ts'
import type { BuildEventSink } from '../../events.ts'
import type { BuildRequest } from '../../request.ts'
import {
  imageIdOf,
  metadataJson,
  prepareResultFile,
  toldOutput,
  writeResultFile,
} from '../../export/metadata.ts'
import { type ParsedArgs, readBoolean } from '../args.ts'
import type { Command, CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { describeFailedBuild, FailedBuild } from '../failed-build.ts'
import {
  type FailedStepNews,
  type OnFailure,
  readOnFailure,
  shellAdvice,
} from '../failed-step-advice.ts'
import { createProgressPrinter, type ProgressMode } from '../progress/printer.ts'
import { ToldWarnings } from '../progress/warning-json.ts'
import { BUILD_FLAGS, IGNORED_FLAGS } from '../request/build-flags.ts'
import { readBuildRequest } from '../request/build-request.ts'
import { readCallMethod } from '../request/call-method.ts'
import { reportFailure } from '../report-failure.ts'
import { runBuild } from '../run-build.ts'
import { shellInStep } from './shell.ts'

export const buildCommand: Command = {
  name: 'build',
  usage: 'build [OPTIONS] PATH | URL | -',
  description:
    'Builds an image from a Dockerfile and the files of a context: a directory, a git or http URL, or - for stdin.\n' +
    'Without -o, --push or --load the image goes to the local store.',
  flags: BUILD_FLAGS,
  arguments: { min: 1, max: 1 },
  run: async (args, context) => {
    const mode = progressMode(args, context)
    const isDebug = args.boolean('debug') ?? false
    const call = readCallMethod(args)
    const onFailure = readOnFailure(args, context)
    await using read = await readBuildRequest(args, context)
    const { request } = read
    if (call !== undefined) {
      const { describeBuild } = await import('../describe-build.ts')
      const printer = await createProgressPrinter(mode, context.stderr, context.env, { isDebug })
      return await describeBuild(request, call, args, { ...context, printer })
    }
    for (const flag of ['iidfile', 'metadata-file'] as const) {
      const path = resultFile(args, context, flag)
      if (path !== undefined && ownStream(path, context) === undefined) {
        await prepareResultFile(path, flag)
      }
    }
    try {
      const warnings = new ToldWarnings()
      const how = { mode, onFailure, warnings }
      const outcome = await buildWithProgress(request, how, args, context)
      await tellResult(request, { ...outcome, warnings: warnings.list }, args, context)
      return 0
    } catch (error) {
      const id = onFailure === 'shell' ? failedStepOf(error) : undefined
      if (id === undefined || context.signal.aborted) throw error
      const isDebug = args.boolean('debug') ?? false
      const status = reportFailure(error, context.stderr, { isInterrupted: false, isDebug })
      await shellInStep(id, args, context)
      return status
    }
  },
}

function failedStepOf(error: unknown): string | undefined {
  return error instanceof FailedBuild ? error.step?.id : undefined
}

interface BuildManner {
  readonly mode: ProgressMode
  readonly onFailure: OnFailure
  /** Gets those of the build. */
  readonly warnings: ToldWarnings
}

async function buildWithProgress(
  request: BuildRequest,
  { mode, onFailure, warnings }: BuildManner,
  args: ParsedArgs,
  context: CommandContext,
): Promise<BuildOutcome> {
  const isDebug = args.boolean('debug') ?? false
  const printer = await createProgressPrinter(mode, context.stderr, context.env, { isDebug })
  const events: BuildEventSink = (event) => {
    printer.handle(event)
    warnings.handle(event)
  }
  for (const { flag, reason } of IGNORED_FLAGS.filter((one) => args.has(one.flag))) {
    events({ type: 'notice', atMs: 0, text: `--${flag} is ignored: ${reason}` })
  }
  let step: FailedBuild['step']
  const tellFailedStep = (news: FailedStepNews): void => {
    const advice = shellAdvice(news, args, context.cwd)
    step = { id: news.outcome.isKept ? news.id : undefined, advice }
  }
  try {
    return await runBuild(request, args, context, { events, onFailure, tellFailedStep })
  } catch (error) {
    throw await describeFailedBuild(error, printer.showsFailedLogs, { step })
  } finally {
    printer.finish()
  }
}

/** Files first, then stdout: whoever waits for the output may read the files. */
async function tellResult(
  request: BuildRequest,
  { result, exports, warnings }: BuildOutcome & { readonly warnings: readonly object[] },
  args: ParsedArgs,
  context: CommandContext,
): Promise<void> {
  const imageId = imageIdOf(result)
  await writeResult(args, context, 'iidfile', imageId)
  const told = toldOutput(exports)
  const digest = exports[told]?.digest
  const same = exports.filter((one) => one?.digest === digest)
  const names = [...new Set(same.flatMap((one) => one?.names ?? []))]
  const output = request.outputs[told]
  const annotations = output !== undefined && 'annotations' in output ? output.annotations : []
  const areWarningsTold = readBoolean(context.env['BUILDX_METADATA_WARNINGS'] ?? '') === true
  const metadata = {
    ...(areWarningsTold && warnings.length > 0 ? { 'buildx.build.warnings': warnings } : {}),
    ...metadataJson(result, { hasDigest: digest !== undefined, names, annotations }),
  }
  const json = `${JSON.stringify(metadata, undefined, 2)}\n`
  await writeResult(args, context, 'metadata-file', json)
  const isStdoutTaken = request.outputs.some((output) => 'dest' in output && output.dest === '-')
  if (asksForId(args) && !isStdoutTaken) {
    context.stdout.write(`${imageId}\n`)
  }
}

async function writeResult(
  args: ParsedArgs,
  context: CommandContext,
  flag: 'iidfile' | 'metadata-file',
  text: string,
): Promise<void> {
  const path = resultFile(args, context, flag)
  if (path === undefined) return
  const own = ownStream(path, context)
  if (own === undefined) {
    await writeResultFile(path, text)
  } else {
    own.write(text)
  }
}

/** What need not be opened again: sockets cannot be, and other output goes to the same place. */
function ownStream(
  path: string,
  { stdout, stderr }: CommandContext,
): { write(text: string): unknown } | undefined {
  return path === '/dev/stdout' ? stdout : path === '/dev/stderr' ? stderr : undefined
}

function resultFile(
  args: ParsedArgs,
  { cwd }: CommandContext,
  flag: 'iidfile' | 'metadata-file',
): string | undefined {
  const path = args.text(flag)
  return path === undefined || path === '' ? undefined : resolve(cwd, path)
}

const MODES: ReadonlySet<string> = new Set(['auto', 'plain', 'tty', 'quiet', 'rawjson', 'none'])

/** `-q` stands for `--progress quiet`; BUILDKIT_PROGRESS counts when neither was given (features rows C24, C25). */
function progressMode(args: ParsedArgs, { env }: CommandContext): ProgressMode {
  const given = args.text('progress') || undefined
  if (args.boolean('quiet') === true) {
    if (given !== undefined && given !== 'quiet' && given !== 'auto') {
      throw new UsageError(`--progress=${given} and --quiet cannot be used together`)
    }
    return 'quiet'
  }
  const mode = given ?? (env['BUILDKIT_PROGRESS'] || 'auto')
  if (!isMode(mode)) {
    throw new UsageError(`invalid progress mode "${mode}" (known: ${[...MODES].join(', ')})`)
  }
  return mode
}

/** Flags do; a BUILDKIT_PROGRESS of quiet says no more than that nothing shall be shown. */
function asksForId(args: ParsedArgs): boolean {
  return args.boolean('quiet') === true || args.text('progress') === 'quiet'
}

function isMode(text: string): text is ProgressMode {
  return MODES.has(text)
}
