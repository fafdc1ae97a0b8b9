import { renderTemplate } from './go-template.ts'
import { displayWidth } from './progress/terminal-text.ts'

/** Rows in columns, two blanks apart, the last one as wide as it is; the first row is the heading. */
export function renderTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) {
    for (const [column, text] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, displayWidth(text))
    }
  }
  return rows
    .map((row) => {
      const cells = row.map(
        (text, column) => `${text}${' '.repeat((widths[column] ?? 0) - displayWidth(text))}`,
      )
      return `${cells.join('   ').trimEnd()}\n`
    })
    .join('')
}

const AGES: readonly (readonly [unit: string, seconds: number])[] = [
  ['year', 365 * 86_400],
  ['month', 30 * 86_400],
  ['week', 7 * 86_400],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
]

/** `3 hours ago`; `N/A` without a time. */
export function formatAge(time: string | undefined, nowMs: number): string {
  const at = time === undefined ? Number.NaN : Date.parse(time)
  // Go's zero time (year 1) stands for "not known" in images.
  if (Number.isNaN(at) || at < 0) {
    return 'N/A'
  }
  const seconds = Math.max(0, (nowMs - at) / 1000)
  // Docker's habit: 90 minutes are "90 minutes", and 36 hours "36 hours".
  const [unit, size] = AGES.find(
    ([name, length]) => seconds >= length * (name === 'second' ? 1 : 2),
  ) ?? ['second', 1]
  const count = Math.floor(seconds / size)
  return count === 0 ? 'Less than a second ago' : `${count} ${unit}${count === 1 ? '' : 's'} ago`
}

/**
 * Rows by `--format TEMPLATE`, one line each; `table TEMPLATE` aligns its columns, which tabs part, below `heads` (the
 * names of the fields for people).
 */
export function renderRows(
  format: string,
  heads: Readonly<Record<string, string>>,
  rows: readonly object[],
): string {
  const template = /^table\s+(.*)$/s.exec(format)?.[1]
  if (template === undefined) {
    return rows.map((row) => `${renderTemplate(format, row)}\n`).join('')
  }
  return renderTable([heads, ...rows].map((row) => renderTemplate(template, row).split('\t')))
}
