import { shellOf } from './convert-config.ts'
import { convertMounts } from './convert-mounts.ts'
import type { StageContext } from './conversion.ts'
import { addHistory, commandError, workingDirectory } from './conversion.ts'
import type { Variables } from './environment.ts'
import type { RunMount, RunNode } from './graph.ts'
import { chompHeredoc, heredocStartOf } from './heredoc.ts'
import type { RunCommand } from './instructions/run.ts'
import type { BoundCommand } from './stages.ts'
import { commandOrigin, titleText } from './titles.ts'

/** RUN: one node, one layer (features rows D25-D27, D66-D78). */
export function convertRun(context: StageContext, command: RunCommand, bound: BoundCommand): void {
  const { conversion, environment, config, state } = context
  const { args, scripts, summary } = runArgs(context, command)
  if (args.length === 0)
    throw commandError(command, 'RUN [] names no program: arguments are required')
  const mounts = convertMounts(context, command, bound.sources)
  const masked = maskSecrets(environment, mounts)
  const lexing = { escape: conversion.parsed.escape, keepsQuotes: true, keepsUnset: true } as const
  const text = titleText(command.code + summary, masked, lexing)
  const { options } = conversion
  context.node = conversion.graph.add({
    kind: 'run',
    parent: context.node,
    args,
    shell: shellOf(context),
    env: withAgentSocket(environment.toList(), mounts),
    cwd: workingDirectory(context),
    user: config.config.User ?? '',
    network: command.network === 'default' ? options.network : command.network,
    security: command.security,
    mounts,
    scripts,
    devices: command.devices,
    platform: state.platform ?? options.targetPlatform,
    proxyEnv: proxyVariables(conversion.buildArgs),
    hostname: options.hostname,
    display: args.join(' '),
    origin: commandOrigin(context, command, text, bound.isOnbuild),
  })
  addHistory(context, `RUN ${shownArgs(context)}${args.join(' ')} # buildkit`, context.node)
}

interface RunArgs {
  readonly args: readonly string[]
  readonly scripts: RunNode['scripts']
  /** Shown in the title behind a heredoc. */
  readonly summary: string
}

function runArgs(context: StageContext, command: RunCommand): RunArgs {
  const { args, isShellForm, heredocs } = command.command
  if (!isShellForm) return { args, scripts: [], summary: '' }
  const shell = shellOf(context)
  const line = args.join(' ')
  const [heredoc] = heredocs
  if (heredoc === undefined) return { args: [...shell, line], scripts: [], summary: '' }
  if (heredocStartOf(line) === undefined) {
    // More than the heredoc alone: the shell gets the text back as it was and does the rest.
    const bodies = heredocs.map(({ content, name }) => `\n${content}${name}`)
    return { args: [...shell, line + bodies.join('')], scripts: [], summary: '' }
  }
  const content = heredoc.isChomped ? chompHeredoc(heredoc.content) : heredoc.content
  const summary = ` (${summarize(heredoc.content)})`
  if (!content.startsWith('#!') || context.config.os === 'windows') {
    return { args: [...shell, content], scripts: [], summary }
  }
  const { name } = heredoc
  return { args: [...shell, `/dev/pipes/${name}`], scripts: [{ name, content }], summary }
}

function summarize(content: string): string {
  const [first = '', ...rest] = content.trim().split(/\r?\n/)
  return rest.length > 0 ? `${first}...` : first
}

/** `|2 A=1 B=2 `: the ARGs in scope with the values that RUN sees (features row O9). */
function shownArgs(context: StageContext): string {
  const values = new Map<string, string>()
  for (const { key, value } of context.args) {
    values.set(key, context.environment.get(key) ?? value ?? '')
  }
  if (values.size === 0) return ''
  const shown = Array.from(values, ([key, value]) => `${key}=${value}`)
  return `|${shown.length} ${shown.join(' ')} `
}

/** The title shows that a value comes from a secret, not the variable that it hides (features row D148). */
function maskSecrets(variables: Variables, mounts: readonly RunMount[]): Variables {
  const names = mounts.flatMap((mount) => (mount.type === 'secret' ? (mount.env ?? []) : []))
  if (names.length === 0) return variables
  return {
    get: (name) => (names.includes(name) ? '****' : variables.get(name)),
    names: () => [...variables.names(), ...names],
  }
}

/** SSH_AUTH_SOCK leads to the first agent unless the stage sets it (features row D73). */
function withAgentSocket(env: readonly string[], mounts: readonly RunMount[]): readonly string[] {
  const agent = mounts.find((mount) => mount.type === 'ssh')
  if (agent === undefined || env.some((entry) => entry.startsWith('SSH_AUTH_SOCK='))) return env
  return [...env, `SSH_AUTH_SOCK=${agent.target}`]
}

const PROXIES = ['http_proxy', 'https_proxy', 'ftp_proxy', 'no_proxy', 'all_proxy']

/** Proxy build args in both cases; of two spellings the one that sorts last wins (features row D46). */
function proxyVariables(buildArgs: ReadonlyMap<string, string>): string[] {
  const found = new Map<string, string>()
  for (const [name, value] of [...buildArgs].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const lower = name.toLowerCase()
    if (PROXIES.includes(lower)) found.set(lower, value)
  }
  return Array.from(found).flatMap(([name, value]) => [
    `${name.toUpperCase()}=${value}`,
    `${name}=${value}`,
  ])
}
