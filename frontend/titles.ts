import type { StageContext } from './conversion.ts'
import type { Variables } from './environment.ts'
import type { GraphPlatform, NodeOrigin } from './graph.ts'
import type { Command } from './instructions/parse-instruction.ts'
import { formatFullPlatform, normalizePlatform, parsePlatform } from './platform.ts'
import type { StageState } from './stages.ts'
import type { WordOptions } from './words.ts'
import { ExpansionError } from './expansion-error.ts'
import { expandWord } from './words.ts'

/** What a title says beside the command. */
export interface TitleScope {
  /** Undefined: platforms are not shown. */
  readonly platform: GraphPlatform | undefined
  readonly hasOneStage: boolean
  readonly isOnbuild: boolean
  readonly variables: Variables
}

/** `[stage 2/5] RUN make`: counts one step of the stage (features row D149). */
export function stepTitle(state: StageState, text: string, scope: TitleScope): string {
  if (state.stepCount === 0) return text
  state.stepIndex++
  const platform = scope.platform === undefined ? '' : `${platformLabel(scope)} `
  const stage = scope.hasOneStage ? '' : `${state.title} `
  const number = String(state.stepIndex).padStart(String(state.stepCount).length)
  const onbuild = scope.isOnbuild ? 'ONBUILD ' : ''
  return `[${platform}${stage}${number}/${state.stepCount}] ${onbuild}${text}`
}

/** Origin of the node that `command` makes, with its title. */
export function commandOrigin(
  context: StageContext,
  command: Command,
  text: string,
  isOnbuild: boolean,
): NodeOrigin {
  const { state, conversion } = context
  const title = stepTitle(state, text, {
    platform: conversion.options.isMultiPlatform ? state.platform : undefined,
    hasOneStage: conversion.hasOneStage,
    isOnbuild,
    variables: context.environment,
  })
  return { title, stage: state.title, range: command.range, ignoreCache: state.ignoreCache }
}

/** The command as its title shows it: variables expanded, the instruction in upper case. */
export function titleText(code: string, variables: Variables, options: WordOptions): string {
  const text = expandLeniently(code, variables, options)
  const end = text.indexOf(' ')
  return end < 0 ? text.toUpperCase() : text.slice(0, end).toUpperCase() + text.slice(end)
}

function expandLeniently(code: string, variables: Variables, options: WordOptions): string {
  try {
    return expandWord(code, variables, options).text
  } catch (error) {
    // A title is no place to complain: the command itself is not expanded, or was already.
    if (error instanceof ExpansionError) return code
    throw error
  }
}

function platformLabel(scope: TitleScope): string {
  const own = scope.platform
  if (own === undefined) return ''
  return formatFullPlatform(own) + crossTarget(own, targetOf(scope.variables, own))
}

/** The target platform as the stage's TARGET* variables say, when it declares any. */
function targetOf(variables: Variables, own: GraphPlatform): GraphPlatform | undefined {
  const whole = variables.get('TARGETPLATFORM')
  if (whole !== undefined) {
    const platform = parsePlatform(whole, own)
    return 'fault' in platform ? undefined : platform
  }
  const os = variables.get('TARGETOS')
  const architecture = variables.get('TARGETARCH')
  const variant = variables.get('TARGETVARIANT')
  if (os === undefined && architecture === undefined && variant === undefined) return undefined
  return {
    os: os || own.os,
    architecture: architecture || own.architecture,
    ...(variant ? { variant } : {}),
  }
}

function crossTarget(own: GraphPlatform, target: GraphPlatform | undefined): string {
  if (target === undefined) return ''
  const platform = normalizePlatform(target)
  if (platform.os !== own.os) return `->${formatFullPlatform(platform)}`
  if (platform.architecture === own.architecture) return ''
  const variant = platform.variant === undefined ? '' : `/${platform.variant}`
  return `->${platform.architecture}${variant}`
}
