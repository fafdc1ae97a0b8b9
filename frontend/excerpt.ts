import type { Range } from './diagnostics.ts'

/**
 * The lines around `range` as BuildKit prints them: numbered, the range's own lines marked `>>>`. A caret line below
 * `place` follows when that is a part of one line. Lines of context: four for a single line, two for several.
 */
export function renderExcerpt(source: string, range: Range, place: Range = range): string {
  const lines = source.split('\n')
  const last = Math.min(range.endLine, lines.length)
  if (range.startLine < 1 || range.startLine > lines.length) return ''
  const window = contextWindow(range.startLine, last, lines.length)
  const out: string[] = []
  for (let number = window.first; number <= window.last; number++) {
    const line = (lines[number - 1] ?? '').replace(/\r$/, '')
    const isMarked = number >= range.startLine && number <= last
    out.push(` ${String(number).padStart(3)} | ${isMarked ? '>>>' : '   '} ${line}`)
    // Columns do not count the byte order mark, which has no width either.
    const text = line.replace(/^\ufeff/, '')
    if (number === place.endLine && isPartOfLine(place, text)) out.push(caretLine(place, text))
  }
  const rule = '-'.repeat(20)
  return `${rule}\n${out.join('\n')}\n${rule}`
}

/** `name:line`, then the excerpt. */
export function renderLocation(
  name: string,
  source: string,
  range: Range,
  place: Range = range,
): string {
  return `${name}:${range.startLine}\n${renderExcerpt(source, range, place)}`
}

// Grows by one line on each side in turns until the budget is spent (BuildKit's errdefs source printer).
function contextWindow(start: number, end: number, count: number): { first: number; last: number } {
  const budget = start === end ? 4 : 2
  let first = start
  let last = end
  for (let spent = 0; spent < budget; spent++) {
    if (first > 1) {
      first--
      spent++
    }
    if (last < count) {
      last++
      spent++
    }
  }
  return { first, last }
}

function isPartOfLine(range: Range, line: string): boolean {
  if (range.startLine !== range.endLine) return false
  const first = line.length - line.trimStart().length
  const isWhole = range.startColumn <= first && range.endColumn >= line.trimEnd().length
  return range.endColumn > range.startColumn && !isWhole
}

function caretLine(range: Range, line: string): string {
  // Tabs are kept so that the caret stands below its character whatever the tab width is.
  const lead = line.slice(0, range.startColumn).replace(/[^\t]/g, ' ')
  const width = Math.max(1, Math.min(range.endColumn, line.length) - range.startColumn)
  return `     |     ${lead}${'^'.repeat(width)}`
}
