import type { BuildEvent } from '../../events.ts'
import { neutralise } from './terminal-text.ts'

export type WarningEvent = Pick<Extract<BuildEvent, { type: 'warning' }>, 'text' | 'rule'>

/**
 * The warnings of a build after its progress, as buildx lists them (features row L23); empty without warnings.
 * `isExpanded` (`--debug`): with what each rule means, its page, and the lines of the Dockerfile.
 */
export function renderWarnings(warnings: readonly WarningEvent[], isExpanded: boolean): string {
  if (warnings.length === 0) {
    return ''
  }
  const count = warnings.length === 1 ? '1 warning found' : `${warnings.length} warnings found`
  const hint = isExpanded ? '' : ' (use --debug to expand)'
  const lines = warnings.map((warning) => (isExpanded ? expanded(warning) : short(warning)))
  return `\n ${count}${hint}:\n${lines.join('')}`
}

function short({ text }: WarningEvent): string {
  return ` - ${neutralise(text)}\n`
}

function expanded({ text, rule }: WarningEvent): string {
  if (rule === undefined) return short({ text })
  const { description, url, excerpt } = rule
  const page = url === '' ? '' : `More info: ${url}\n`
  const lines = excerpt.split('\n').map(neutralise).join('\n')
  return `${short({ text })}${neutralise(description)}\n${page}${lines}\n\n`
}
