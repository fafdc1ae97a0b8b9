import type { BuildEvent, StepId } from '../../events.ts'
import type { OutputStream } from '../command.ts'
import { type Colours, readColours } from './colours.ts'
import type { ProgressPrinter, ViewOptions } from './printer.ts'
import { StepBoard } from './step-board.ts'
import { displayWidth, neutralise } from './terminal-text.ts'
import { renderEnded, renderFailedLog, renderRunning, type ViewSize } from './tty-view.ts'
import { renderWarnings } from './warnings.ts'

const REDRAW_INTERVAL_MS = 100
const DEFAULT_LOG_LINES = 6
/** DECTCEM. */
const HIDE_CURSOR = '\x1b[?25l'
const SHOW_CURSOR = '\x1b[?25h'

/**
 * The live view. Lines of finished steps scroll away above; below them a region is drawn again ten times a second with
 * what runs now. At the end only finished steps are left, and the whole log of a step that failed. The cursor is hidden
 * meanwhile and comes back at the end, also when the process is made to exit, and while it is suspended (Ctrl-Z).
 */
export class TtyPrinter implements ProgressPrinter {
  readonly showsFailedLogs = true
  readonly #stream: OutputStream
  readonly #env: Readonly<Record<string, string | undefined>>
  readonly #activity: string
  readonly #isDebug: boolean
  readonly #colours: Colours | undefined
  readonly #board = new StepBoard()
  readonly #startedMs = performance.now()
  readonly #timer: NodeJS.Timeout
  readonly #restoreCursor: () => void
  /** Lines of the live region that are on the screen. */
  #drawn: readonly string[] = []
  #toldNotices = 0
  #hasFinished = false
  #isSuspended = false

  constructor(
    stream: OutputStream,
    env: Readonly<Record<string, string | undefined>>,
    { activity, isDebug }: ViewOptions,
  ) {
    this.#stream = stream
    this.#env = env
    this.#activity = activity
    this.#isDebug = isDebug
    this.#colours = readColours(env)
    this.#restoreCursor = () => stream.write(SHOW_CURSOR)
    process.on('exit', this.#restoreCursor)
    process.on('SIGTSTP', this.#suspend)
    process.on('SIGCONT', this.#resume)
    stream.write(HIDE_CURSOR)
    this.#timer = setInterval(() => {
      // Timers come before signals: one that was due while the process stood still runs before `#resume`.
      if (!this.#isSuspended) this.#redraw([])
    }, REDRAW_INTERVAL_MS)
    this.#timer.unref()
  }

  handle(event: BuildEvent): void {
    this.#board.handle(event)
    if (event.type === 'step-ended') {
      this.#redraw(this.#endedLine(event.step))
    } else if (event.type === 'notice') {
      const fresh = this.#board.notices.slice(this.#toldNotices)
      this.#toldNotices = this.#board.notices.length
      this.#redraw(fresh.map((text) => `NOTE: ${neutralise(text)}`))
    }
  }

  finish(): void {
    if (this.#hasFinished) {
      return
    }
    this.#hasFinished = true
    clearInterval(this.#timer)
    const failed = [...this.#board.steps.values()].filter(
      (step) => step.outcome === 'failed' && step.log.length > 0,
    )
    this.#write([], failed.flatMap(renderFailedLog))
    this.#stream.write(renderWarnings(this.#board.warnings, this.#isDebug))
    this.#restoreCursor()
    process.off('exit', this.#restoreCursor)
    process.off('SIGTSTP', this.#suspend)
    process.off('SIGCONT', this.#resume)
  }

  readonly #suspend = (): void => {
    this.#restoreCursor()
    this.#isSuspended = true
    process.kill(process.pid, 'SIGSTOP')
  }

  /** The screen is the shell's meanwhile: what was drawn stays there, and the region begins anew below. */
  readonly #resume = (): void => {
    this.#isSuspended = false
    this.#drawn = []
    this.#stream.write(HIDE_CURSOR)
  }

  #endedLine(id: StepId): string[] {
    const step = this.#board.steps.get(id)
    return step === undefined ? [] : renderEnded(step, this.#size())
  }

  #redraw(settled: readonly string[]): void {
    const nowMs = performance.now() - this.#startedMs
    this.#write(renderRunning(this.#board, nowMs, this.#size()), settled)
  }

  /** Replaces the live region: `settled` lines stay for good above the new region. One write, so nothing flickers. */
  #write(region: readonly string[], settled: readonly string[]): void {
    const { columns } = this.#size()
    // After a resize the old lines may take more rows than when they were written.
    const rows = this.#drawn.reduce(
      (sum, line) => sum + Math.max(1, Math.ceil(displayWidth(line) / columns)),
      0,
    )
    const lines = [...settled, ...region]
    if (rows > 0 || lines.length > 0) {
      // Written over line by line: a screen that is erased from its first line goes into the history of some terminals.
      const up = rows === 0 ? '' : `\x1b[${rows}A\r`
      const text = lines.map((line) => `${line}\x1b[K\n`).join('')
      this.#stream.write(`${up}${text}${rows === 0 ? '' : '\x1b[J'}`)
    }
    this.#drawn = region
  }

  #size(): ViewSize {
    const logLines = Number(this.#env['BUILDKIT_TTY_LOG_LINES'] ?? DEFAULT_LOG_LINES)
    return {
      columns: Math.max(20, this.#stream.columns ?? 80),
      rows: this.#stream.rows ?? 24,
      colours: this.#colours,
      activity: this.#activity,
      ellipsis: isAsciiLocale(this.#env) ? '~' : '…',
      logLines: Number.isInteger(logLines) && logLines >= 0 ? logLines : DEFAULT_LOG_LINES,
    }
  }
}

/** By the first of these that is set (locale(7)). Where none is, as in containers, terminals still are UTF-8. */
function isAsciiLocale(env: Readonly<Record<string, string | undefined>>): boolean {
  const locale = env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || 'C.UTF-8'
  return !/utf-?8/i.test(locale)
}
