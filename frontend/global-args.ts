import { expandOrFail } from './conversion.ts'
import type { ConvertOptions } from './convert-options.ts'
import type { ParsedDockerfile } from './dockerfile.ts'
import { Environment } from './environment.ts'
import { DockerfileError } from './errors.ts'
import type { FactSink } from './facts.ts'
import type { ArgCommand, ArgDefinition } from './instructions/arg.ts'
import type { Range } from './diagnostics.ts'
import { formatFullPlatform, formatPlatform } from './platform.ts'

/** A global ARG with what it became. */
export interface GlobalArg {
  readonly definition: ArgDefinition
  readonly value: string | undefined
  readonly range: Range
  /** Other global ARGs that its default reads. */
  readonly dependencies: ReadonlySet<string>
}

/** Variables of FROM lines, and where stages get the values of ARGs that they only name. */
export interface GlobalScope {
  readonly environment: Environment
  readonly args: ReadonlyMap<string, GlobalArg>
}

/** Platform args and TARGETSTAGE (features row D47); build args win over them. */
export function predefinedArgs(parsed: ParsedDockerfile, options: ConvertOptions): Environment {
  const { buildPlatform, targetPlatform, buildArgs } = options
  const lastName = parsed.stages.at(-1)?.from.stageName ?? ''
  const stage = options.target ?? lastName
  const values: readonly (readonly [string, string])[] = [
    ['BUILDPLATFORM', formatPlatform(buildPlatform)],
    ['BUILDOS', buildPlatform.os],
    ['BUILDOSVERSION', buildPlatform.osVersion ?? ''],
    ['BUILDARCH', buildPlatform.architecture],
    ['BUILDVARIANT', buildPlatform.variant ?? ''],
    ['TARGETPLATFORM', formatFullPlatform(targetPlatform)],
    ['TARGETOS', targetPlatform.os],
    ['TARGETOSVERSION', targetPlatform.osVersion ?? ''],
    ['TARGETARCH', targetPlatform.architecture],
    ['TARGETVARIANT', targetPlatform.variant ?? ''],
    ['TARGETSTAGE', stage === '' ? 'default' : stage],
  ]
  return new Environment(values.map(([name, value]) => [name, buildArgs.get(name) ?? value]))
}

/**
 * Evaluates the ARGs before the first FROM, in order (features row D41). A build arg wins over a default and is not
 * expanded. Throws DockerfileError `expansion`.
 */
export function evaluateGlobalArgs(
  parsed: ParsedDockerfile,
  predefined: Environment,
  buildArgs: ReadonlyMap<string, string>,
): GlobalScope {
  const environment = predefined.clone()
  const args = new Map<string, GlobalArg>()
  for (const command of parsed.globalArgs) {
    for (const definition of command.args) {
      const { key } = definition
      const given = buildArgs.get(key)
      const { value, dependencies } =
        given === undefined
          ? evaluateDefault(parsed, command, definition, { environment, args })
          : { value: given, dependencies: NO_NAMES }
      if (value !== undefined) environment.set(key, value)
      args.set(key, { definition, value, range: command.range, dependencies })
    }
  }
  return { environment, args }
}

const NO_NAMES: ReadonlySet<string> = new Set()

function evaluateDefault(
  parsed: ParsedDockerfile,
  command: ArgCommand,
  { key, value }: ArgDefinition,
  scope: GlobalScope,
): Pick<GlobalArg, 'value' | 'dependencies'> {
  if (value === undefined) return { value, dependencies: NO_NAMES }
  const { environment, args } = scope
  const { text, used } = expandOrFail(command, value, environment, { escape: parsed.escape })
  // A default that reads the earlier value of its own name needs what that one needed.
  const names = [...used].flatMap((name) =>
    name === key ? [...(args.get(key)?.dependencies ?? [])] : [name],
  )
  return { value: text, dependencies: new Set(names) }
}

/** Base names as they are without any build arg (features row L17). A file that cannot be expanded is not looked at. */
export function noteDefaultBases(
  parsed: ParsedDockerfile,
  predefined: Environment,
  facts: FactSink,
): void {
  try {
    const { environment } = evaluateGlobalArgs(parsed, predefined, new Map())
    for (const { from } of parsed.stages) {
      const { text } = expandOrFail(from, from.base, environment, { escape: parsed.escape })
      facts({ kind: 'default-base', from, name: text })
    }
  } catch (error) {
    // The conversion itself reports it, when the fault remains with the build args that were given.
    if (!(error instanceof DockerfileError)) throw error
  }
}
