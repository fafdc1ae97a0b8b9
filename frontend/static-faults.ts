import { commandError, expandOrFail } from './conversion.ts'
import type { ParsedDockerfile } from './dockerfile.ts'
import type { Variables } from './environment.ts'
import { DockerfileError } from './errors.ts'
import type { FromCommand } from './instructions/from.ts'
import { MountSyntaxError, parseMount } from './instructions/mount-syntax.ts'
import type { Command } from './instructions/parse-instruction.ts'
import type { ListCommand } from './instructions/simple.ts'
import { parseExposedPorts } from './ports.ts'

/** What every variable may be: a fault that is there all the same does not depend on values. */
const ALL_SET: Variables = { get: () => 'x', names: () => [] }

type ReadText = Pick<ParsedDockerfile, 'globalArgs' | 'stages' | 'escape'>

/**
 * Faults that show without any build argument or image, but only when a command is expanded: unbalanced quotes, malformed
 * `${}`, bad mounts and ports. A file that cannot be built for another reason is reported with them, so that one build finds all.
 */
function staticFaults(parsed: ReadText): DockerfileError[] {
  const { globalArgs, stages } = parsed
  const lexing = { escape: parsed.escape }
  const faults: DockerfileError[] = []
  const attempt = (work: () => void) => {
    try {
      work()
    } catch (error) {
      if (!(error instanceof DockerfileError)) throw error
      faults.push(error)
    }
  }
  const commands = [...globalArgs, ...stages.flatMap((stage) => [stage.from, ...stage.commands])]
  for (const command of commands) {
    attempt(() => {
      for (const word of expandedWords(command)) expandOrFail(command, word, ALL_SET, lexing)
      checkValues(command)
    })
  }
  return faults
}

/** Words of a command that the conversion expands (features row D36). */
function expandedWords(command: Command | FromCommand): readonly string[] {
  switch (command.kind) {
    case 'from':
      return [command.base, command.platform ?? '']
    case 'env':
    case 'label':
      return command.pairs.flatMap(({ key, value }) => [key, value])
    case 'arg':
      return command.args.map(({ value }) => value ?? '')
    case 'user':
    case 'workdir':
    case 'stopsignal':
      return [command.value]
    case 'expose':
    case 'volume':
      return command.values
    case 'copy':
      return [...command.sources, command.dest, command.chown, command.chmod]
    case 'add': {
      const { sources, dest, chown, chmod, checksum } = command
      return [...sources, dest, chown, chmod, checksum]
    }
    case 'cmd':
    case 'entrypoint':
    case 'healthcheck':
    case 'maintainer':
    case 'onbuild':
    case 'run':
    case 'shell':
      return []
  }
}

function checkValues(command: Command | FromCommand): void {
  if (command.kind === 'run') for (const { text } of command.mounts) checkMount(command, text)
  if (command.kind === 'expose') for (const value of command.values) checkPorts(command, value)
}

function checkPorts(command: ListCommand, value: string): void {
  if (/[$"'\\`]/.test(value)) return
  const read = parseExposedPorts(value)
  if ('fault' in read) throw commandError(command, read.fault, { focus: value })
}

function checkMount(command: Command, text: string): void {
  // A value that is not known yet may make it right.
  if (text.includes('$')) return
  try {
    parseMount(text, (word) => word)
  } catch (error) {
    if (!(error instanceof MountSyntaxError)) throw error
    const { focus, suggestion } = error
    throw commandError(command, error.message, { code: 'bad-flag', focus, suggestion })
  }
}

/** `errors` and the static faults of the file that are not among them, in the order of the lines. */
export function withStaticFaults(
  parsed: ReadText,
  errors: readonly DockerfileError[],
): DockerfileError[] {
  const keyOf = ({ range, message }: DockerfileError) => `${range?.startLine} ${message}`
  const known = new Set(errors.map(keyOf))
  const more = staticFaults(parsed).filter((error) => !known.has(keyOf(error)))
  return [...errors, ...more].sort((a, b) => (a.range?.startLine ?? 0) - (b.range?.startLine ?? 0))
}
