import type { ParsedDockerfile } from '../../dockerfile.ts'
import type { Command } from '../../instructions/parse-instruction.ts'
import type { RunCommand } from '../../instructions/run.ts'
import type { Finding } from '../rule.ts'
import { VOLATILE_ARG_BEFORE_INSTALL } from './rules.ts'
import type { ShellCommand } from './shell-commands.ts'
import { commandsOf, subcommandOf } from './shell-commands.ts'

/** Names of values that are another in every build. */
const VOLATILE =
  /^(?:.*_)?(?:(?:GIT|VCS)_?(?:COMMIT|SHA|REF|REV|REVISION|HASH)|COMMIT(?:_?(?:SHA|HASH|ID|REF))?|BUILD_?(?:DATE|TIME|TIMESTAMP|NUMBER|NUM|ID))$/i

/** Installations: minutes, and nothing that a commit's id could matter to. */
const INSTALLERS: ReadonlyMap<string, readonly string[]> = new Map([
  ['apt-get', ['install', 'upgrade']],
  ['apt', ['install', 'upgrade']],
  ['apk', ['add']],
  ['yum', ['install']],
  ['dnf', ['install']],
  ['microdnf', ['install']],
  ['npm', ['ci', 'install']],
  ['yarn', ['install']],
  ['pnpm', ['install']],
  ['pip', ['install']],
  ['pip3', ['install']],
  ['bundle', ['install']],
])

/** An ARG that is new in every build, above a RUN of the stage that installs packages and does not use it. */
export function volatileArgFindings(parsed: ParsedDockerfile): Finding[] {
  return parsed.stages.flatMap(({ commands }) =>
    commands.flatMap((command, index) => {
      if (command.kind !== 'arg') return []
      return command.args
        .filter(({ key }) => VOLATILE.test(key))
        .flatMap(({ key }) => findingFor(key, command, commands.slice(index + 1)))
    }),
  )
}

function findingFor(key: string, place: Command, later: readonly Command[]): Finding[] {
  const runs = later.filter((command) => command.kind === 'run')
  const install = runs.find((run) => commandsOf(run).some(installs))
  // What stands above a step that uses the value had to be declared there.
  const user = later.find((command) => mentions(command, key))
  if (install === undefined || (user !== undefined && isBefore(user, install))) return []
  const detail =
    `ARG ${key} is a part of the cache key of every RUN below: the installation in line ` +
    `${install.range.startLine} runs again whenever it differs. Declare it below that`
  return [{ rule: VOLATILE_ARG_BEFORE_INSTALL, detail, place }]
}

function isBefore(a: Command, b: RunCommand): boolean {
  return a.range.startLine <= b.range.startLine
}

function installs(command: ShellCommand): boolean {
  return INSTALLERS.get(command[0] ?? '')?.includes(subcommandOf(command) ?? '') ?? false
}

function mentions(command: Command, key: string): boolean {
  const bodies = command.kind === 'run' ? command.command.heredocs : []
  return [command.code, ...bodies.map(({ content }) => content)].some((text) => text.includes(key))
}
