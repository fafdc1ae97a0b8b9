import { cpus, release, totalmem } from 'node:os'
import type { Builder } from './builders.ts'
import type { Comparison, Series } from './compare.ts'

/** Between these marks the text of a report is replaced; what is around them is written by people. */
export const BEGIN = '<!-- results -->'
export const END = '<!-- end of results -->'

export interface ReportParts {
  readonly builders: readonly Builder[]
  readonly comparisons: readonly Comparison[]
  /** As it was given. */
  readonly command: string
}

/** The middle of an odd number of values, the mean of the middle two of an even one; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length / 2
  const upper = sorted[Math.floor(half)] ?? Number.NaN
  const lower = sorted[Math.ceil(half) - 1] ?? Number.NaN
  return (upper + lower) / 2
}

/** A document with `report` between its marks; a new one when there is none; undefined when it lacks the marks. */
export function withReport(document: string | undefined, report: string): string | undefined {
  const [before, rest] = (document ?? `# Benchmarks\n\n${BEGIN}${END}\n`).split(BEGIN)
  const after = rest?.split(END)[1]
  return before === undefined || after === undefined
    ? undefined
    : `${before}${BEGIN}\n\n${report}\n\n${END}${after}`
}

/** What was measured, where and how, in Markdown. */
export function reportOf({ builders, comparisons, command }: ReportParts): string {
  const budgets = comparisons.filter(({ workload }) => workload.size === undefined)
  const growth = comparisons.filter(({ workload }) => workload.size !== undefined)
  return [
    `Machine: ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GB, Linux ${kernelVersion()}. Builders: ${builders
      .map(({ title }) => title)
      .join('; ')}.`,
    `Given by \`${command}\`.`,
    ...(budgets.length === 0 ? [] : [budgetTable(budgets, builders).join('\n')]),
    ...(growth.length === 0 ? [] : [growthTable(growth).join('\n')]),
  ].join('\n\n')
}

function budgetTable(comparisons: readonly Comparison[], builders: readonly Builder[]): string[] {
  const peers = builders.filter(({ id }) => id !== 'tsbuild')
  const head = [
    'work',
    ...peers.map(({ id }) => id),
    'tsbuild',
    'ratio to BuildKit',
    'budget',
    ...peers.map(({ id }) => `memory of ${id}`),
    'memory of tsbuild',
  ]
  const rows = comparisons.map(({ workload, series }) => {
    const ours = series.get('tsbuild')
    const ratio = ratioOf(ours, series.get('buildkit'))
    return [
      workload.title,
      ...peers.map(({ id }) => secondsText(series.get(id))),
      secondsText(ours),
      ratio === undefined ? '-' : ratio.toFixed(ratio < 0.1 ? 3 : 2),
      workload.budget === undefined ? '-' : `${workload.budget}`,
      ...peers.map(({ id }) => memoryText(series.get(id))),
      memoryText(ours),
    ]
  })
  return table(head, rows)
}

/** Cost of one unit: constant where the cost is linear. */
function growthTable(comparisons: readonly Comparison[]): string[] {
  const rows = comparisons.map(({ workload, series }) => {
    const ours = series.get('tsbuild')
    const each = (median(ours?.seconds ?? []) * 1e6) / (workload.size ?? 1)
    return [workload.title, secondsText(ours), `${each.toFixed(0)} µs`, memoryText(ours)]
  })
  return table(['work', 'tsbuild', 'each file or MB', 'memory'], rows)
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)]
}

function ratioOf(ours: Series | undefined, theirs: Series | undefined): number | undefined {
  return ours === undefined || theirs === undefined
    ? undefined
    : median(ours.seconds) / median(theirs.seconds)
}

function secondsText(series: Series | undefined): string {
  if (series === undefined || series.seconds.length === 0) {
    return '-'
  }
  const { seconds } = series
  const range = `${Math.min(...seconds).toFixed(2)}..${Math.max(...seconds).toFixed(2)}`
  return seconds.length === 1
    ? `${median(seconds).toFixed(2)} s`
    : `${median(seconds).toFixed(2)} s (${range})`
}

function memoryText(series: Series | undefined): string {
  return series?.peakBytes === undefined ? '-' : `${Math.round(series.peakBytes / 1e6)} MB`
}

function kernelVersion(): string {
  return release().split('.').slice(0, 2).join('.')
}
