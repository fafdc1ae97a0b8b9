import type { StepOutcome } from '../../events.ts'
import type { Colours } from './colours.ts'
import { formatAmount, formatBytes, formatSeconds } from './format.ts'
import type { BoardPart, BoardStep, StepBoard } from './step-board.ts'
import { displayWidth, fitWidth, neutralise, withoutColours } from './terminal-text.ts'

export interface ViewSize {
  readonly columns: number
  readonly rows: number
  /** Undefined: none are used. */
  readonly colours: Colours | undefined
  /** For lines that are cut: `~` where the terminal may not know more than ASCII. */
  readonly ellipsis?: '…' | '~'
  /** What the first line says that goes on; default `Building`. */
  readonly activity?: string
  /** Output lines shown below a running step. */
  readonly logLines: number
}

/** The lines of the live region: what runs now, with its time and last output. Never higher than the terminal. */
export function renderRunning(board: StepBoard, nowMs: number, size: ViewSize): string[] {
  const running = board.running
  if (running.length === 0) {
    return []
  }
  const finished = board.steps.size - running.length
  const head = `[+] ${size.activity ?? 'Building'} ${formatSeconds(nowMs)} (${finished}/${board.steps.size})`
  const lines = [fitWidth(head, size.columns - 1, size.ellipsis)]
  const rowsMax = Math.max(2, size.rows - 1)
  // Every running step gets its line; what is left is shared between their last lines.
  const shown = running.slice(0, rowsMax - 2)
  const spare = Math.floor((rowsMax - 1 - shown.length) / Math.max(1, shown.length))
  for (const step of shown) {
    lines.push(stepLine('=>', step, formatSeconds(nowMs - step.startedMs), size))
    lines.push(
      ...detailLines(board, step, nowMs, { ...size, logLines: Math.min(size.logLines, spare) }),
    )
  }
  if (shown.length < running.length) {
    lines.push(
      fitWidth(`   and ${running.length - shown.length} more`, size.columns - 1, size.ellipsis),
    )
  }
  return lines
}

/** What stays of a step that ended: its line, and what it made (names, digests), without the bytes that it moved. */
export function renderEnded(step: BoardStep, size: ViewSize): string[] {
  const { mark, colour } = MARKS[step.outcome ?? 'done']
  const line = stepLine(mark, step, step.outcome === 'cached' ? '' : elapsed(step), size)
  const facts = [...step.parts.values()]
    .filter(({ isDone, currentBytes, totalBytes, note }) =>
      [isDone, currentBytes === 0, totalBytes === undefined, note === undefined].every(Boolean),
    )
    .map((part) => fitWidth(`    => ${neutralise(part.name)}`, size.columns - 1, size.ellipsis))
  return [line, ...facts].map((text) => paint(text, size.colours?.[colour], size))
}

const MARKS: Readonly<
  Record<StepOutcome, { readonly mark: string; readonly colour: keyof Colours }>
> = {
  done: { mark: '=>', colour: 'run' },
  cached: { mark: '=> CACHED', colour: 'run' },
  failed: { mark: '=> ERROR', colour: 'error' },
  canceled: { mark: '=> CANCELED', colour: 'cancel' },
}

/** Everything a failed step printed. */
export function renderFailedLog(step: BoardStep): string[] {
  const dropped = step.droppedLines === 0 ? [] : [`[${step.droppedLines} lines left out]`]
  return [
    '------',
    ` > ${neutralise(step.title)}:`,
    ...dropped,
    ...step.log.map(neutralise),
    '------',
  ]
}

function elapsed(step: BoardStep): string {
  return formatSeconds((step.endedMs ?? step.startedMs) - step.startedMs)
}

/** `=> title        1.2s`: the time stands at the right edge. */
function stepLine(mark: string, step: BoardStep, time: string, size: ViewSize): string {
  const width = size.columns - 1
  const title = ` ${mark} ${withoutColours(neutralise(step.title))}`
  const room = width - time.length - 1
  const fitted = fitWidth(title, room, size.ellipsis)
  return time === ''
    ? fitted
    : `${fitted}${' '.repeat(Math.max(1, width - displayWidth(fitted) - time.length))}${time}`
}

function detailLines(board: StepBoard, step: BoardStep, nowMs: number, size: ViewSize): string[] {
  const count = size.logLines
  if (count <= 0) {
    return []
  }
  const moving = [...step.parts.values()].filter((part) => !part.isDone)
  const texts = [
    ...board
      .lastLines(step, count)
      .map((line) => withoutColours(neutralise(line)).replaceAll('\t', '    ')),
    ...moving.map((part) => partText(part, nowMs)),
  ]
  return texts
    .slice(-count)
    .map((text) => paint(fitWidth(`    ${text}`, size.columns - 1, size.ellipsis), '2', size))
}

function partText(part: BoardPart, nowMs: number): string {
  const ms = nowMs - part.startedMs
  const rate =
    ms > 500 && part.currentBytes > 0 ? `  ${formatBytes((part.currentBytes * 1000) / ms)}/s` : ''
  const note = part.note === undefined ? '' : `  ${neutralise(part.note)}`
  // A whole digest would leave no room for the bytes.
  const name = neutralise(part.name).replace(/(sha256:[a-f0-9]{12})[a-f0-9]{52}/g, '$1')
  return `${name}  ${formatAmount(part.currentBytes, part.totalBytes)}${rate}${note}`
}

function paint(text: string, code: string | undefined, { colours }: ViewSize): string {
  return colours !== undefined && code !== undefined ? `\x1b[${code}m${text}\x1b[0m` : text
}
