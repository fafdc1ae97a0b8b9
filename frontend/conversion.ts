import type { ConvertOptions } from './convert-options.ts'
import type { ParsedDockerfile } from './dockerfile.ts'
import type { Environment, Variables } from './environment.ts'
import type { DockerfileErrorCode } from './errors.ts'
import { DockerfileError } from './errors.ts'
import type { FactSink } from './facts.ts'
import type { GraphBuilder } from './graph-builder.ts'
import type { NodeId, PlannedHistory } from './graph.ts'
import type { StageImageConfig } from './image-config.ts'
import type { Command } from './instructions/parse-instruction.ts'
import { joinAbsolute } from './posix-path.ts'
import type { ScopedArg, StageState, StageTable } from './stages.ts'
import type { WordOptions } from './words.ts'
import { ExpansionError } from './expansion-error.ts'
import { expandWord } from './words.ts'

/** What all stages of one conversion share. */
export interface Conversion {
  readonly parsed: ParsedDockerfile
  readonly options: ConvertOptions
  /** Build args, with SOURCE_DATE_EPOCH resolved. */
  readonly buildArgs: ReadonlyMap<string, string>
  /** Global ARGs and platform args. */
  readonly globals: Environment
  readonly table: StageTable
  readonly graph: GraphBuilder
  readonly facts: FactSink
  readonly epochSec: number | undefined
  /** The file has one stage and nothing else is named: titles leave its name out (features row D149). */
  readonly hasOneStage: boolean
}

/** A stage while its commands are applied. */
export interface StageContext {
  readonly conversion: Conversion
  readonly state: StageState
  readonly environment: Environment
  readonly config: StageImageConfig
  /** ARGs in scope, in order of declaration; a name may occur again. */
  readonly args: ScopedArg[]
  readonly history: PlannedHistory[]
  /** Filesystem so far. */
  node: NodeId
  hasWorkdir: boolean
  /** Last CMD, ENTRYPOINT and HEALTHCHECK of this stage. */
  readonly last: Map<'cmd' | 'entrypoint' | 'healthcheck', Command>
}

const COMMENT = 'buildkit.dockerfile.v0'

/** Build args that steer the builder and are no variables of RUN (features row D54). */
const NOT_VARIABLES: ReadonlySet<string> = new Set([
  'BUILDKIT_SBOM_SCAN_CONTEXT',
  'BUILDKIT_SBOM_SCAN_STAGE',
])

export function isEnvironmentArg(name: string): boolean {
  return !NOT_VARIABLES.has(name)
}

/** The error for a command that cannot be converted. */
export function commandError(
  command: Pick<Command, 'range'>,
  message: string,
  details: {
    readonly code?: DockerfileErrorCode
    readonly focus?: string | undefined
    readonly suggestion?: string | undefined
    readonly related?: DockerfileError['related']
    readonly cause?: unknown
  } = {},
): DockerfileError {
  const { focus, suggestion, related, cause } = details
  return new DockerfileError(details.code ?? 'bad-argument', message, {
    range: command.range,
    focus,
    suggestion,
    related,
    cause,
  })
}

/** Expands `word` in the scope of the stage; throws DockerfileError `expansion`. */
export function expandIn(
  context: StageContext,
  command: Command,
  word: string,
  options: Partial<WordOptions> = {},
): string {
  const { environment } = context
  const lexing = { escape: context.conversion.parsed.escape, ...options }
  const noteMissing = (missing: ReadonlySet<string>): void => {
    for (const name of missing) {
      if (!isEnvironmentArg(name) || context.args.some((arg) => arg.key === name)) continue
      const known = [...environment.names()]
      context.conversion.facts({ kind: 'missing-variable', place: command, name, known })
    }
  }
  return expandOrFail(command, word, environment, lexing, noteMissing).text
}

/** Expands `word`; an ExpansionError gets the command's place. `noteMissing` hears of unset variables, also when it throws. */
export function expandOrFail(
  command: Pick<Command, 'range'>,
  word: string,
  variables: Variables,
  options: WordOptions,
  noteMissing?: (names: ReadonlySet<string>) => void,
): ReturnType<typeof expandWord> {
  try {
    const expansion = expandWord(word, variables, options)
    noteMissing?.(expansion.missing)
    return expansion
  } catch (error) {
    if (!(error instanceof ExpansionError)) throw error
    noteMissing?.(error.missing)
    throw commandError(command, error.message, { code: 'expansion', focus: word })
  }
}

/** Where RUN starts and relative paths begin. */
export function workingDirectory(context: StageContext): string {
  // The config keeps the path as it was written, `/app/` say.
  return joinAbsolute('/', context.config.config.WorkingDir ?? '')
}

/** Adds a history entry; `node` is set exactly when the entry has a layer. */
export function addHistory(context: StageContext, createdBy: string, node?: NodeId): void {
  context.history.push({ createdBy, comment: COMMENT, author: undefined, node })
}
