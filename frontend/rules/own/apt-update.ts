import type { ParsedDockerfile } from '../../dockerfile.ts'
import type { RunCommand } from '../../instructions/run.ts'
import type { Finding } from '../rule.ts'
import { lineagesOf } from './lineage.ts'
import { APT_INSTALL_WITHOUT_UPDATE } from './rules.ts'
import type { ShellCommand } from './shell-commands.ts'
import { commandsOf, subcommandOf } from './shell-commands.ts'

/**
 * `apt-get install` in one RUN with the package lists of an earlier one. Only where an earlier RUN of the file makes the
 * lists, else they may be the base image's; and where nothing else in the RUN can be what updates them.
 */
export function aptUpdateFindings(parsed: ParsedDockerfile): Finding[] {
  const findings: Finding[] = []
  for (const { stage, inherited } of lineagesOf(parsed)) {
    let hasLists = inherited.some((command) => command.kind === 'run' && updates(command))
    for (const command of stage.commands) {
      if (command.kind !== 'run') continue
      if (updates(command)) hasLists = true
      else if (hasLists && installsWithOldLists(command)) findings.push(finding(command))
    }
  }
  return findings
}

function finding(place: RunCommand): Finding {
  const detail =
    'apt-get install uses the package lists of an earlier RUN, which the cache keeps: put ' +
    '`apt-get update &&` before it in this RUN'
  return { rule: APT_INSTALL_WITHOUT_UPDATE, detail, place }
}

function updates(command: RunCommand): boolean {
  return commandsOf(command).some((words) => isApt(words) && subcommandOf(words) === 'update')
}

function installsWithOldLists(command: RunCommand): boolean {
  if (command.mounts.some(({ text }) => text.includes('/var/lib/apt'))) return false
  const commands = commandsOf(command)
  return commands.some(installsPackages) && !commands.some(mayUpdate)
}

function isApt([name]: ShellCommand): boolean {
  return name === 'apt-get' || name === 'apt'
}

/** True when packages are asked for by name; files need no lists for themselves. */
function installsPackages(words: ShellCommand): boolean {
  if (!isApt(words) || subcommandOf(words) !== 'install') return false
  const packages = words.slice(words.indexOf('install') + 1).filter((word) => /^[\w$]/.test(word))
  return packages.some((word) => !word.includes('.deb'))
}

/** Scripts and what sets package sources up often run an update of their own. */
function mayUpdate([name = '']: ShellCommand): boolean {
  return (
    /^(?:bash|sh|\.|source|eval|add-apt-repository|extrepo|\$.*)$/.test(name) || name.includes('/')
  )
}
