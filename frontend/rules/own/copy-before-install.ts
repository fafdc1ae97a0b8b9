import type { ParsedDockerfile } from '../../dockerfile.ts'
import type { Command } from '../../instructions/parse-instruction.ts'
import type { Finding } from '../rule.ts'
import { lineagesOf } from './lineage.ts'
import { COPY_ALL_BEFORE_INSTALL } from './rules.ts'
import type { ShellCommand } from './shell-commands.ts'
import { commandsOf, subcommandOf } from './shell-commands.ts'

/** Files that an installation needs; the words of a command that is one. */
interface Install {
  readonly words: string
  readonly needs: string
}

/**
 * `COPY . .` and then an installation that needs the manifest and lock file only. Not where dependencies were installed
 * before the copy, and not where a cache mount keeps them.
 */
export function copyBeforeInstallFindings(parsed: ParsedDockerfile): Finding[] {
  return lineagesOf(parsed).flatMap(({ stage, inherited }) => {
    if (inherited.some((command) => installOf(command) !== undefined)) return []
    const run = stage.commands.find((command) => installOf(command) !== undefined)
    const copy = stage.commands.find(copiesContext)
    const install = run === undefined ? undefined : installOf(run)
    if (run === undefined || copy === undefined || install === undefined) return []
    return copy.range.startLine < run.range.startLine ? [finding(copy, run, install)] : []
  })
}

function finding(copy: Command, run: Command, { words, needs }: Install): Finding {
  const detail =
    `Everything is copied before \`${words}\` (line ${run.range.startLine}), which any change then runs ` +
    `again: copy ${needs} first, run it, and copy the rest after it`
  return { rule: COPY_ALL_BEFORE_INSTALL, detail, place: copy }
}

function copiesContext(command: Command): boolean {
  const isContext = command.kind === 'add' || (command.kind === 'copy' && command.from === '')
  return isContext && command.sources.some((source) => /^(?:\.\/?|\/|\*)$/.test(source))
}

function installOf(command: Command): Install | undefined {
  if (command.kind !== 'run') return undefined
  if (command.mounts.some(({ text }) => /type=cache/.test(text))) return undefined
  for (const words of commandsOf(command)) {
    const needs = neededFiles(words)
    if (needs !== undefined) return { words: words.slice(0, 3).join(' '), needs }
  }
  return undefined
}

const NODE = 'package.json and the lock file'

/** Undefined: no installation from a lock file, or one that needs the sources. */
function neededFiles(command: ShellCommand): string | undefined {
  const [name = ''] = command
  const subcommand = subcommandOf(command)
  switch (name) {
    case 'npm':
    case 'pnpm':
      return subcommand === 'ci' || (isOneOf(subcommand, ['install', 'i']) && names(command) === 1)
        ? NODE
        : undefined
    case 'yarn':
      return subcommand === undefined || subcommand === 'install' ? NODE : undefined
    case 'pip':
    case 'pip3':
      return subcommand === 'install' ? requirements(command) : undefined
    case 'bundle':
      return subcommand === 'install' ? 'Gemfile and Gemfile.lock' : undefined
    case 'go':
      return command.slice(1, 3).join(' ') === 'mod download' ? 'go.mod and go.sum' : undefined
    default:
      return undefined
  }
}

function isOneOf(word: string | undefined, words: readonly string[]): boolean {
  return word !== undefined && words.includes(word)
}

/** Words that are no options; the redirection of output is none. */
function names(command: ShellCommand): number {
  return command.slice(1).filter((word) => !/^-|^\d?>/.test(word)).length
}

/** A requirements file, when nothing but it is installed. */
function requirements(command: ShellCommand): string | undefined {
  const at = command.findIndex((word) => word === '-r' || word === '--requirement')
  const file = at < 0 ? undefined : command[at + 1]
  const hasOthers = command.some((word) => word === '.' || word === '-e' || word.startsWith('./'))
  return file === undefined || hasOthers || file.includes('/') ? undefined : file
}
