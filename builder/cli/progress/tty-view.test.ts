import assert from 'node:assert/strict'
import fc from 'fast-check'
import { StepBoard } from './step-board.ts'
import { displayWidth, fitWidth, neutralise, withoutColours } from './terminal-text.ts'
import { renderEnded, renderFailedLog, renderRunning } from './tty-view.ts'

const SIZE = { columns: 40, rows: 10, colours: undefined, logLines: 6 }

function boardWith(running: number): StepBoard {
  const board = new StepBoard()
  for (let step = 1; step <= running; step++) {
    board.handle({
      type: 'step-started',
      atMs: 0,
      step,
      title: `[${step}/9] RUN 漢字 a command that is long`,
    })
    const text = Array.from({ length: 20 }, (_, line) => `line ${line} of ${step}\n`).join('')
    board.handle({
      type: 'step-log',
      atMs: 1,
      step,
      stream: 'stdout',
      text: `${text}bar 1%\rbar 2%`,
    })
  }
  return board
}

describe('the live view', () => {
  it('never is wider or higher than the terminal', () => {
    for (const running of [1, 2, 5, 30]) {
      for (const rows of [3, 10, 50]) {
        const lines = renderRunning(boardWith(running), 61_000, { ...SIZE, rows })
        assert.ok(lines.length < rows, `${lines.length} lines of ${running} steps in ${rows} rows`)
        for (const line of lines) {
          assert.ok(displayWidth(line) < SIZE.columns, line)
        }
      }
    }
  })

  it('shows running steps with their time and last lines, also one without an end', () => {
    const lines = renderRunning(boardWith(1), 61_000, SIZE)
    assert.match(lines[0] ?? '', /^\[\+\] Building 1m01s \(0\/1\)$/)
    assert.match(lines[1] ?? '', /^ => \[1\/9\] RUN 漢字 .*… 1m01s$/)
    assert.deepEqual(lines.slice(-2), ['    line 19 of 1', '    bar 2%'])
  })

  it('folds a finished step into one line and keeps the whole log of a failed one', () => {
    const board = boardWith(2)
    board.handle({ type: 'step-ended', atMs: 1200, step: 1, outcome: 'done', error: undefined })
    board.handle({
      type: 'step-ended',
      atMs: 2000,
      step: 2,
      outcome: 'failed',
      error: 'exit code: 1',
    })
    const [done, failed] = [...board.steps.values()]
    assert.ok(done !== undefined && failed !== undefined)
    assert.match(renderEnded(done, SIZE).join(''), /1\.2s$/)
    assert.equal(done.log.length, 0)
    assert.match(renderEnded(failed, SIZE).join(''), /^ => ERROR /)
    assert.equal(renderFailedLog(failed).length, 21 + 3)
  })

  it('are cut with ASCII where the locale knows no more', () => {
    const board = boardWith(1)
    board.handle({ type: 'step-started', atMs: 0, step: 9, title: 'x'.repeat(90) })
    board.handle({ type: 'step-ended', atMs: 3, step: 9, outcome: 'done', error: undefined })
    const step = board.steps.get(9)
    assert.ok(step !== undefined)
    assert.match(renderEnded(step, SIZE).join(''), /x… /)
    assert.match(renderEnded(step, { ...SIZE, ellipsis: '~' }).join(''), /x~ /)
  })

  it('keep what they made, not the bytes that they moved', () => {
    const board = boardWith(1)
    const part = { type: 'step-progress', atMs: 2, step: 1, isDone: true, note: undefined } as const
    board.handle({ ...part, part: 'sha256:aa', currentBytes: 5, totalBytes: 5 })
    board.handle({ ...part, part: 'naming to x/y:v1', currentBytes: 0, totalBytes: undefined })
    board.handle({ type: 'step-ended', atMs: 3, step: 1, outcome: 'done', error: undefined })
    const [step] = board.steps.values()
    assert.ok(step !== undefined)
    assert.deepEqual(renderEnded(step, SIZE).slice(1), ['    => naming to x/y:v1'])
  })
})

describe('terminal text', () => {
  it('leaves no control sequence but colours, whatever a step prints (property)', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(
        '\u001b[',
        '\u001b]',
        '\u009b',
        '\u0007',
        '\u001b[31m',
        '\u001b[2J',
        '\u202e',
        '\u001bc',
      ),
    )
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const text = withoutColours(neutralise(pieces.join('')))
        assert.doesNotMatch(
          text,
          /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/,
        )
      }),
    )
  })

  it('fits any text into any width (property)', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }),
        fc.integer({ min: 0, max: 60 }),
        (text, columns) => {
          assert.ok(displayWidth(fitWidth(neutralise(text), columns)) <= columns)
        },
      ),
    )
  })

  it('counts wide characters as two columns and marks as none', () => {
    assert.equal(displayWidth('漢字'), 4)
    assert.equal(displayWidth('e\u0301'), 1)
    assert.equal(displayWidth('🚀'), 2)
    assert.equal(displayWidth('\u001b[31mred\u001b[0m'), 3)
  })
})
