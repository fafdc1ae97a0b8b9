import type { CheckReport } from './check.ts'
import type { Range } from './diagnostics.ts'
import type { DockerfileError } from './errors.ts'
import { scanLines } from './lines.ts'
import { locate } from './parse.ts'

/** A warning or an error of a report, as compilers and code scanners show them. */
export interface ReportedFinding {
  readonly level: 'error' | 'warning'
  /** Name of the rule, or code of the error. */
  readonly rule: string
  readonly description: string
  readonly url: string
  readonly message: string
  /** The piece at fault; undefined when it is not in the text. */
  readonly range: Range | undefined
  readonly related: DockerfileError['related']
}

/** What a report found, in the order of the lines. Loads the syntax tree library when there are errors. */
export async function findingsOf(report: CheckReport): Promise<readonly ReportedFinding[]> {
  const { warnings, error, source } = report
  const findings: ReportedFinding[] = warnings.map((warning) => ({
    level: 'warning',
    rule: warning.rule,
    description: warning.description,
    url: warning.url,
    message: warning.detail,
    range: warning.range,
    related: undefined,
  }))
  for (const fault of error?.list ?? []) {
    findings.push({
      level: 'error',
      rule: fault.code,
      description: `The Dockerfile cannot be built: ${fault.code}`,
      url: '',
      // The line is said before it.
      message: fault.message.replace(/^dockerfile parse error on line \d+: /, ''),
      range: await placeOf(fault, source),
      related: fault.related,
    })
  }
  return findings.sort((a, b) => (a.range?.startLine ?? 0) - (b.range?.startLine ?? 0))
}

async function placeOf(
  { range, focus }: DockerfileError,
  source: string,
): Promise<Range | undefined> {
  if (range === undefined || focus === undefined) return range
  return (await locate(source, range, focus, scanLines(source).escape)) ?? range
}

/**
 * The findings as compilers print theirs: `file:line:column: warning: message [rule]`, the line, and carets below what is
 * meant. Lines and columns count from 1. The last line says how many there are.
 */
export function renderFindings(
  findings: readonly ReportedFinding[],
  { fileName, source }: Pick<CheckReport, 'fileName' | 'source'>,
): string {
  const lines = source.split('\n')
  const out = findings.map(({ level, message, rule, range, related }) => {
    const first = `${placeName(fileName, range)}: ${level}: ${message} [${rule}]\n${excerpt(lines, range)}`
    if (related === undefined) return first
    const { label } = related
    return `${first}${placeName(fileName, related.range)}: note: ${label}\n${excerpt(lines, related.range)}`
  })
  return `${out.join('')}${fileName}: ${countsOf(findings)}\n`
}

function placeName(fileName: string, range: Range | undefined): string {
  return range === undefined ? fileName : `${fileName}:${range.startLine}:${range.startColumn + 1}`
}

function excerpt(lines: readonly string[], range: Range | undefined): string {
  const line = range === undefined ? undefined : lines[range.startLine - 1]?.replace(/\r$/, '')
  if (range === undefined || line === undefined) return ''
  const end = range.endLine === range.startLine ? range.endColumn : line.length
  const isWhole = end <= range.startColumn
  const start = isWhole ? line.length - line.trimStart().length : range.startColumn
  const width = Math.max(1, (isWhole ? line.trimEnd().length : Math.min(end, line.length)) - start)
  // Tabs are kept so that the carets stand below their characters whatever the tab width is.
  const lead = line.slice(0, start).replace(/[^\t]/g, ' ')
  const number = String(range.startLine).padStart(5)
  return `${number} | ${line}\n${' '.repeat(number.length)} | ${lead}^${'~'.repeat(width - 1)}\n`
}

function countsOf(findings: readonly ReportedFinding[]): string {
  if (findings.length === 0) return 'nothing found'
  const count = (level: ReportedFinding['level']) => {
    const number = findings.filter((finding) => finding.level === level).length
    return number === 0 ? [] : [`${number} ${level}${number === 1 ? '' : 's'}`]
  }
  return [...count('error'), ...count('warning')].join(', ')
}
