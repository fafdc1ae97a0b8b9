import { stat } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import {
  check,
  checkJson,
  type CheckReport,
  findingsOf,
  type ImageResolver,
  renderFindings,
  renderSarif,
} from '../../../frontend/index.ts'
import { definitionResolver, loadIgnore } from '../../build-definition.ts'
import type { BuildSession } from '../../build-session.ts'
import type { BuildRequest } from '../../request.ts'
import type { FlagSpecs, ParsedArgs } from '../args.ts'
import type { Command, CommandContext } from '../command.ts'
import { describedOptions } from '../../convert-options.ts'
import { withSession } from '../describe-build.ts'
import { UsageError } from '../errors.ts'
import { createProgressPrinter } from '../progress/printer.ts'
import { BUILD_FLAGS, REGISTRY_FLAGS, ROOT_FLAG } from '../request/build-flags.ts'
import { readBuildRequest } from '../request/build-request.ts'
import { packageVersion } from './version.ts'

const FORMATS = ['text', 'json', 'sarif'] as const
type Format = (typeof FORMATS)[number]

function buildFlag(name: string): FlagSpecs {
  const spec = BUILD_FLAGS[name]
  return spec === undefined ? {} : { [name]: spec }
}

/**
 * `tsbuild check`: what `--check` says and the rules of our own, as a compiler prints it (features rows L24, L25). A base
 * image that cannot be looked at is no finding: the rules about it are left out, with a notice.
 */
export const checkCommand: Command = {
  name: 'check',
  usage: 'check [OPTIONS] [PATH | -]',
  description:
    'Checks the Dockerfile of a directory (default the current one) without building it.\n' +
    'Exit status 1 when something was found.',
  flags: {
    ...buildFlag('file'),
    ...buildFlag('target'),
    ...buildFlag('build-arg'),
    ...buildFlag('build-context'),
    ...buildFlag('platform'),
    format: {
      kind: 'text',
      value: 'FORMAT',
      help: 'text (default), json (as --call=check,format=json), or sarif for code-scanning pages',
    },
    ...REGISTRY_FLAGS,
    ...ROOT_FLAG,
    ...buildFlag('debug'),
  },
  arguments: { min: 0, max: 1 },
  run: async (args, context) => {
    const format = readFormat(args.text('format') ?? 'text')
    const all = await withContextArgument(args, context)
    await using read = await readBuildRequest(all, context)
    const { request } = read
    const printer = await createProgressPrinter('quiet', context.stderr, context.env)
    const report = await withSession(
      request,
      all,
      { ...context, printer, doing: 'check' },
      (session) => checkRequest(request, session, context),
    )
    context.stdout.write(`${await render(report, format)}\n`)
    return report.warnings.length > 0 || report.error !== undefined ? 1 : 0
  },
}

function readFormat(text: string): Format {
  const format = FORMATS.find((known) => known === text)
  if (format === undefined) {
    throw new UsageError(`unknown format "${text}": check knows ${FORMATS.join(', ')}`)
  }
  return format
}

/** No argument is the current directory; a file is a Dockerfile in its directory. */
async function withContextArgument(args: ParsedArgs, { cwd }: CommandContext): Promise<ParsedArgs> {
  const [path = '.'] = args.positionals
  const isFile = await stat(resolve(cwd, path)).then(
    (found) => found.isFile(),
    // Whoever reads the context says what is wrong with it.
    () => false,
  )
  if (!isFile || args.has('file')) {
    return { ...args, positionals: [path] }
  }
  return {
    ...args,
    positionals: [join(path, '..')],
    has: (flag) => flag === 'file' || args.has(flag),
    text: (flag) => (flag === 'file' ? path : args.text(flag)),
  }
}

async function checkRequest(
  request: BuildRequest,
  session: BuildSession,
  { cwd, signal, stderr }: CommandContext,
): Promise<CheckReport> {
  const { text } = await session.contexts.dockerfile()
  const unknown: string[] = []
  const resolver = definitionResolver(session)
  const report = await check({
    text,
    parseOptions: {
      name: shownName(request, cwd),
      syntax: request.buildArgs.get('BUILDKIT_SYNTAX'),
    },
    options: { ...describedOptions(request), ignore: await loadIgnore(session) },
    resolver: tolerant(resolver, (reference) => unknown.push(reference)),
    signal,
    hasOwnRules: true,
  })
  if (unknown.length === 0) {
    return report
  }
  stderr.write(`NOTE: could not look at ${unknown.join(', ')}: variables are not checked\n`)
  // Any variable may come from the image.
  return { ...report, warnings: report.warnings.filter(({ rule }) => rule !== 'UndefinedVar') }
}

/** An image that cannot be had counts as one of the right platform that says nothing. */
function tolerant(resolver: ImageResolver, onUnknown: (reference: string) => void): ImageResolver {
  return {
    ...resolver,
    resolveImage: async (reference, platform, signal) => {
      try {
        return await resolver.resolveImage(reference, platform, signal)
      } catch (error) {
        signal.throwIfAborted()
        if (!(error instanceof Error)) {
          throw error
        }
        onUnknown(reference)
        const { os, architecture } = platform
        return { reference, resolved: '', config: { os, architecture, config: {} } }
      }
    },
  }
}

/** The Dockerfile as the user would name it, from where the command runs. */
function shownName({ dockerfile, context }: BuildRequest, cwd: string): string {
  if (dockerfile.kind === 'text') {
    return dockerfile.name
  }
  const isInContext = dockerfile.isDefault && context.kind === 'directory'
  const path = isInContext ? join(context.path, dockerfile.path) : resolve(cwd, dockerfile.path)
  const inside = relative(cwd, path)
  return inside.startsWith('..') ? path : inside
}

async function render(report: CheckReport, format: Format): Promise<string> {
  if (format === 'json') {
    return checkJson(report)
  }
  const findings = await findingsOf(report)
  if (format === 'text') {
    return renderFindings(findings, report).trimEnd()
  }
  const { fileName } = report
  const uri = fileName.startsWith('/') ? pathToFileURL(fileName).href : encodeURI(fileName)
  return renderSarif(findings, { uri, version: await packageVersion() })
}
