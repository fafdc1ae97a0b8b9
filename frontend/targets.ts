import type { Range } from './diagnostics.ts'
import type { ParsedDockerfile } from './dockerfile.ts'
import { base64, jsonLocation } from './json-location.ts'
import { renderTable } from './text-table.ts'

/** A stage that `--target` can name (features row L27). */
export interface TargetInfo {
  /** Empty: the stage has no name. */
  readonly name: string
  readonly description: string
  /** The one that is built when none is asked for. */
  readonly isDefault: boolean
  /** As written in FROM. */
  readonly base: string
  readonly platform: string
  readonly range: Range
}

/** The stages of a file; nothing is expanded or resolved. */
export function listTargets(parsed: ParsedDockerfile): TargetInfo[] {
  return parsed.stages.map(({ from }, index) => ({
    name: from.stageName,
    description: from.description,
    isDefault: index === parsed.stages.length - 1,
    base: from.base,
    platform: from.platform ?? '',
    range: from.range,
  }))
}

/** The text of `--call=targets`. */
export function renderTargets(targets: readonly TargetInfo[]): string {
  const rows = targets.map(({ name, isDefault, description }) => {
    const mark = isDefault ? '(default)' : ''
    return [[name, mark].filter((part) => part !== '').join(' '), description]
  })
  return renderTable([['TARGET', 'DESCRIPTION'], ...rows], 1)
}

/** The JSON of `--call=targets,format=json`. */
export function targetsJson(parsed: ParsedDockerfile): string {
  const targets = listTargets(parsed).map((target) => ({
    ...(target.name === '' ? {} : { name: target.name }),
    ...(target.isDefault ? { default: true } : {}),
    ...(target.description === '' ? {} : { description: target.description }),
    ...(target.base === '' ? {} : { base: target.base }),
    ...(target.platform === '' ? {} : { platform: target.platform }),
    location: jsonLocation(target.range),
  }))
  return JSON.stringify({ targets, sources: [base64(parsed.text)] }, undefined, 2)
}
