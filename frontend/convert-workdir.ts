import type { StageContext } from './conversion.ts'
import { addHistory, expandIn } from './conversion.ts'
import type { TextCommand } from './instructions/simple.ts'
import { joinAbsolute } from './posix-path.ts'
import type { BoundCommand } from './stages.ts'
import { commandOrigin, titleText } from './titles.ts'

/** A workdir as it is stored: absolute; a relative one begins at `current`, an empty one (`WORKDIR $UNSET`) is `current`. */
export function normalizeWorkdir(current: string, path: string): string {
  if (path === '' && current.startsWith('/')) return current
  if (path.startsWith('/')) return path
  return joinAbsolute(current === '' ? '/' : current, path)
}

/** WORKDIR: makes the directory, so it is a layer, except for `/` (feature row D91). */
export function convertWorkdir(
  context: StageContext,
  command: TextCommand,
  bound: BoundCommand,
): void {
  const { conversion, environment, config } = context
  const written = expandIn(context, command, command.value)
  const isFirst = !context.hasWorkdir
  conversion.facts({ kind: 'workdir', place: command, path: written, isFirst })
  context.hasWorkdir = true
  const path = normalizeWorkdir(config.config.WorkingDir ?? '', written)
  config.config.WorkingDir = path
  if (path === '/') {
    addHistory(context, `WORKDIR ${path}`)
    return
  }
  const text = titleText(command.code, environment, { escape: conversion.parsed.escape })
  context.node = conversion.graph.add({
    kind: 'mkdir',
    parent: context.node,
    path: joinAbsolute('/', path),
    user: config.config.User ?? '',
    epochSec: conversion.epochSec,
    origin: commandOrigin(context, command, text, bound.isOnbuild),
  })
  addHistory(context, `WORKDIR ${path}`, context.node)
}
