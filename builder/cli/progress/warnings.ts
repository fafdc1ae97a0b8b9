import { neutralise } from './terminal-text.ts'

/** The warnings of a build after its progress, as BuildKit lists them (features row L23); empty without warnings. */
export function renderWarnings(warnings: readonly string[]): string {
  if (warnings.length === 0) {
    return ''
  }
  const count = warnings.length === 1 ? '1 warning found' : `${warnings.length} warnings found`
  return `\n ${count} (use --check to see where):\n${warnings.map((text) => ` - ${neutralise(text)}\n`).join('')}`
}
