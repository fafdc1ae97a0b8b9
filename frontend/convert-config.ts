import type { StageContext } from './conversion.ts'
import { addHistory, commandError, expandIn, expandOrFail, isEnvironmentArg } from './conversion.ts'
import { splitAssignment } from './environment.ts'
import { goDuration, goList, goQuoteList } from './go-format.ts'
import type { StageContainerConfig, StageHealthcheck } from './image-config.ts'
import type { ArgCommand, ArgDefinition } from './instructions/arg.ts'
import type { HealthcheckCommand } from './instructions/healthcheck.ts'
import type { CommandLine } from './instructions/command-line.ts'
import type { PairsCommand } from './instructions/pairs.ts'
import type { ListCommand, ProcessCommand, TextCommand } from './instructions/simple.ts'
import { parseExposedPorts } from './ports.ts'
import type { ScopedArg } from './stages.ts'
import { isStopSignal } from './stop-signal.ts'

/** ENV and LABEL: all pairs of one instruction see the variables before it (features rows D39, D86, D87). */
export function convertPairs(context: StageContext, command: PairsCommand): void {
  const pairs = command.pairs.map(({ key, value }) => ({
    key: expandIn(context, command, key),
    value: expandIn(context, command, value),
  }))
  const { config } = context.config
  const instruction = command.name.toUpperCase()
  const { facts } = context.conversion
  if (command.isLegacyForm)
    facts({ kind: 'legacy-pairs', place: command, instruction: command.name })
  if (command.kind === 'env') {
    const names = pairs.map(({ key }) => key)
    facts({ kind: 'names-set', place: command, instruction: 'ENV', names })
    for (const { key, value } of pairs) {
      context.environment.set(key, value)
      config.Env = withVariable(config.Env ?? [], key, value)
    }
  } else {
    const labels = new Map(Object.entries(config.Labels ?? {}))
    for (const { key, value } of pairs) labels.set(key, value)
    config.Labels = Object.fromEntries(labels)
  }
  const shown = pairs.map(({ key, value }) => ` ${key}=${value}`).join('')
  addHistory(context, `${instruction}${shown}`)
}

/** `list` with `name` set where it stands, or at the end. */
function withVariable(list: readonly string[], name: string, value: string): string[] {
  const entry = `${name}=${value}`
  const at = list.findIndex((item) => splitAssignment(item)[0] === name)
  return at < 0 ? [...list, entry] : list.with(at, entry)
}

/** ARG: names are taken from left to right, so a default sees the names before it (features rows D39-D44). */
export function convertArg(context: StageContext, command: ArgCommand): void {
  const { conversion } = context
  const shown: string[] = []
  for (const definition of command.args) {
    const arg = resolveArg(context, command, definition)
    const { key, value } = arg
    if (value !== undefined && isEnvironmentArg(key)) context.environment.set(key, value)
    context.args.push(arg)
    shown.push(value === undefined ? key : `${key}=${value}`)
  }
  const names = command.args.map(({ key }) => key)
  conversion.facts({ kind: 'names-set', place: command, instruction: 'ARG', names })
  addHistory(context, `ARG ${shown.join(' ')}`)
}

/** A build arg wins over the default, the default over the global value; a build arg is not expanded. */
function resolveArg(
  context: StageContext,
  command: ArgCommand,
  definition: ArgDefinition,
): ScopedArg {
  const { buildArgs, globals } = context.conversion
  const { key } = definition
  const scope = { ...definition, range: command.range, owner: context.state, isInherited: false }
  const given = buildArgs.get(key)
  if (given !== undefined) return { ...scope, value: given }
  if (definition.value !== undefined) {
    return { ...scope, value: expandIn(context, command, definition.value) }
  }
  const value = globals.get(key)
  return { ...scope, value, isInherited: value !== undefined }
}

/** USER, STOPSIGNAL and MAINTAINER. */
export function convertText(context: StageContext, command: TextCommand): void {
  const { config } = context.config
  if (command.kind === 'maintainer') {
    context.config.author = command.value
    addHistory(context, `MAINTAINER ${command.value}`)
    return
  }
  const value = expandIn(context, command, command.value)
  if (command.kind === 'user') {
    config.User = value
    addHistory(context, `USER ${value}`)
    return
  }
  if (!isStopSignal(value)) {
    throw commandError(command, `invalid signal: ${value}`, { focus: command.value })
  }
  config.StopSignal = value
  addHistory(context, `STOPSIGNAL ${value}`)
}

/** CMD and ENTRYPOINT (features rows D80-D82). */
export function convertProcess(context: StageContext, command: ProcessCommand): void {
  noteOverride(context, command.kind, command)
  const { config } = context.config
  const { isShellForm } = command.command
  if (isShellForm && (config.Shell ?? []).length === 0) {
    const instruction = command.name
    context.conversion.facts({ kind: 'default-shell', place: command, instruction })
  }
  const args = withShell(context, command.command)
  if (command.kind === 'cmd') {
    config.Cmd = [...args]
    config.ArgsEscaped = true
  } else {
    if (args.length > 0) config.Entrypoint = [...args]
    else delete config.Entrypoint
    // A CMD from below the stage belongs to the entrypoint that was there.
    if (!context.last.has('cmd')) delete config.Cmd
  }
  addHistory(context, `${command.kind.toUpperCase()} ${goQuoteList(args)}`)
}

/** The command's argv: shell form is one argument behind SHELL. */
export function withShell(context: StageContext, line: CommandLine): readonly string[] {
  if (!line.isShellForm) return line.args
  return [...shellOf(context), line.args.join(' ')]
}

export function shellOf(context: StageContext): readonly string[] {
  const { os, config } = context.config
  if (config.Shell !== undefined && config.Shell.length > 0) return config.Shell
  return os === 'windows' ? ['cmd', '/S', '/C'] : ['/bin/sh', '-c']
}

/** EXPOSE, VOLUME and SHELL. */
export function convertList(context: StageContext, command: ListCommand): void {
  const { config } = context.config
  switch (command.kind) {
    case 'expose': {
      const ports = exposedPorts(context, command)
      config.ExposedPorts = withKeys(config.ExposedPorts, ports)
      addHistory(context, `EXPOSE ${goList(ports)}`)
      return
    }
    case 'volume': {
      const volumes = command.values.map((value) => expandIn(context, command, value))
      if (volumes.includes('')) {
        throw commandError(command, 'VOLUME specified can not be an empty string')
      }
      config.Volumes = withKeys(config.Volumes, volumes)
      addHistory(context, `VOLUME ${goList(volumes)}`)
      return
    }
    case 'shell':
      config.Shell = [...command.values]
      addHistory(context, `SHELL ${goList(command.values)}`)
  }
}

/** A word of EXPOSE may become several ports. */
function exposedPorts(context: StageContext, command: ListCommand): string[] {
  const { conversion, environment } = context
  const lexing = { escape: conversion.parsed.escape }
  return command.values.flatMap((value) => {
    const { words } = expandOrFail(command, value, environment, lexing)
    return words.flatMap((text) => {
      const read = parseExposedPorts(text)
      const { hasUpperCaseProtocol = false, hasHostPart = false } = read
      conversion.facts({ kind: 'port', place: command, text, hasUpperCaseProtocol, hasHostPart })
      if ('fault' in read) throw commandError(command, read.fault, { focus: value })
      return read.ports
    })
  })
}

function withKeys(
  known: StageContainerConfig['ExposedPorts'],
  names: readonly string[],
): Record<string, Record<string, never>> {
  const entries = new Map(Object.entries(known ?? {}))
  for (const name of names) entries.set(name, {})
  return Object.fromEntries(entries)
}

export function convertHealthcheck(context: StageContext, command: HealthcheckCommand): void {
  noteOverride(context, 'healthcheck', command)
  context.config.config.Healthcheck = command.healthcheck
  addHistory(context, `HEALTHCHECK ${goHealthcheck(command.healthcheck)}`)
}

/** `%+v` of Docker's health check struct (features row O12). */
function goHealthcheck(healthcheck: StageHealthcheck): string {
  const { Test, Interval, Timeout, StartPeriod, StartInterval, Retries } = healthcheck
  const fields = [
    `Test:${goList(Test ?? [])}`,
    `Interval:${goDuration(Interval ?? 0)}`,
    `Timeout:${goDuration(Timeout ?? 0)}`,
    `StartPeriod:${goDuration(StartPeriod ?? 0)}`,
    `StartInterval:${goDuration(StartInterval ?? 0)}`,
    `Retries:${Retries ?? 0}`,
  ]
  return `{${fields.join(' ')}}`
}

function noteOverride(
  context: StageContext,
  kind: 'cmd' | 'entrypoint' | 'healthcheck',
  later: ProcessCommand | HealthcheckCommand,
): void {
  const earlier = context.last.get(kind)
  if (earlier !== undefined) context.conversion.facts({ kind: 'overridden', earlier, later })
  context.last.set(kind, later)
}
