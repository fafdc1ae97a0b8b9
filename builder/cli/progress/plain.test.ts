import assert from 'node:assert/strict'
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import type { BuildEvent } from '../../events.ts'
import { PlainPrinter } from './plain.ts'
import type { ProgressPrinter } from './printer.ts'
import { RawJsonPrinter } from './rawjson.ts'

/** What a printer writes for a sequence of events. */
function printed(
  make: (stream: PassThrough) => ProgressPrinter,
  events: readonly BuildEvent[],
): string {
  const stream = new PassThrough()
  const printer = make(stream)
  for (const event of events) {
    printer.handle(event)
  }
  printer.finish()
  stream.end()
  return textOf(stream)
}

/** All that was written; from Node 26 on one call of `read` gives one write. */
function textOf(stream: PassThrough): string {
  let text = ''
  for (let part: unknown = stream.read(); part !== null; part = stream.read()) text += String(part)
  return text
}

const started = (step: number, title: string, atMs: number): BuildEvent => ({
  type: 'step-started',
  step,
  title,
  atMs,
})
const log = (step: number, text: string, atMs: number): BuildEvent => ({
  type: 'step-log',
  step,
  stream: 'stdout',
  text,
  atMs,
})
const ended = (
  step: number,
  atMs: number,
  outcome: 'done' | 'cached' | 'failed' = 'done',
  error?: string,
): BuildEvent => ({
  type: 'step-ended',
  step,
  atMs,
  outcome,
  error,
})
const moved = (step: number, atMs: number, currentBytes: number, isDone: boolean): BuildEvent => ({
  type: 'step-progress',
  step,
  atMs,
  part: 'sha256:abc',
  currentBytes,
  totalBytes: 10_000_000,
  isDone,
  note: undefined,
})

describe('PlainPrinter', () => {
  it('prints steps as BuildKit does: title, lines with seconds, outcome', () => {
    const text = printed(
      (stream) => new PlainPrinter(stream),
      [
        started(7, '[build 1/2] FROM x', 0),
        ended(7, 1, 'cached'),
        started(8, '[build 2/2] RUN make', 100),
        log(8, 'one\ntw', 169),
        log(8, 'o\n', 12_300),
        ended(8, 12_400),
      ],
    )
    assert.equal(
      text,
      '#1 [build 1/2] FROM x\n#1 CACHED\n\n#2 [build 2/2] RUN make\n#2 0.069 one\n#2 12.20 two\n#2 DONE 12.3s\n\n',
    )
  })

  it('announces a step again when another one printed meanwhile', () => {
    const text = printed(
      (stream) => new PlainPrinter(stream),
      [started(1, 'a', 0), started(2, 'b', 0), log(2, 'x\n', 1000), ended(1, 2000), ended(2, 2000)],
    )
    assert.equal(
      text,
      '#1 a\n#1 ...\n\n#2 b\n#2 1.000 x\n#2 ...\n\n#1 a\n#1 DONE 2.0s\n\n#2 b\n#2 DONE 2.0s\n\n',
    )
  })

  it('lets no step interrupt another one that only starts', () => {
    const text = printed(
      (stream) => new PlainPrinter(stream),
      [started(1, 'a', 0), started(2, 'b', 0), ended(1, 10), ended(2, 20)],
    )
    assert.equal(text, '#1 a\n#1 DONE 0.0s\n\n#2 b\n#2 DONE 0.0s\n\n')
    // As steps do of which each starts before the one before it has ended.
    const chain = printed(
      (stream) => new PlainPrinter(stream),
      [
        started(1, 'a', 0),
        started(2, 'b', 1),
        ended(1, 2),
        started(3, 'c', 3),
        ended(2, 4),
        ended(3, 5),
      ],
    )
    const group = (id: number, title: string) => `#${id} ${title}\n#${id} DONE 0.0s\n\n`
    assert.equal(chain, group(1, 'a') + group(2, 'b') + group(3, 'c'))
  })

  it('announces a step that is silent for long', async () => {
    const stream = new PassThrough()
    const printer = new PlainPrinter(stream)
    for (const event of [started(1, 'a', 0), started(2, 'b', 0)]) printer.handle(event)
    assert.equal(textOf(stream), '#1 a\n')
    // The timer holds no process: what is waited for here must.
    const hold = setTimeout(() => stream.destroy(new Error('nothing was announced')), 10_000)
    await once(stream, 'readable')
    clearTimeout(hold)
    assert.equal(textOf(stream), '#1 ...\n\n#2 b\n')
    printer.finish()
  })

  it('tells about bytes after a second, then every five, and at the end', () => {
    const text = printed(
      (stream) => new PlainPrinter(stream),
      [
        started(1, 'pull', 0),
        moved(1, 0, 0, false),
        moved(1, 500, 1_000_000, false),
        moved(1, 1000, 2_000_000, false),
        moved(1, 5900, 3_000_000, false),
        moved(1, 6000, 4_000_000, false),
        moved(1, 8000, 10_000_000, true),
        ended(1, 8000),
      ],
    )
    assert.deepEqual(text.split('\n').slice(1, 4), [
      '#1 sha256:abc 2MB / 10MB 1.0s (2MB/s)',
      '#1 sha256:abc 4MB / 10MB 6.0s (667kB/s)',
      '#1 sha256:abc 10MB / 10MB 8.0s (1.25MB/s) done',
    ])
  })

  it('prints the last line of a failed step although it has no end, then the error', () => {
    const text = printed(
      (stream) => new PlainPrinter(stream),
      [started(1, 'RUN x', 0), log(1, 'no end', 10), ended(1, 20, 'failed', 'exit code: 3')],
    )
    assert.equal(text, '#1 RUN x\n#1 0.020 no end\n#1 ERROR: exit code: 3\n\n')
  })

  it('shows of a progress bar only its last state', () => {
    const text = printed(
      (stream) => new PlainPrinter(stream),
      [started(1, 'RUN x', 0), log(1, '10%\r50%\r100%\r\n', 10), ended(1, 20)],
    )
    assert.match(text, /^#1 0\.010 100%$/m)
  })

  it('lets no step control the terminal, but keeps colours', () => {
    const hostile = '\u001b[2J\u001b[31mred\u001b[0m\u001b]0;title\u0007\u001b[1A\u0008x\n'
    const text = printed(
      (stream) => new PlainPrinter(stream),
      [started(1, 'RUN x', 0), log(1, hostile, 10), ended(1, 20)],
    )
    assert.match(text, /^#1 0\.010 \u001b\[31mred\u001b\[0m\^Hx$/m)
  })

  it('lists warnings at the end, in the form that CI tools look for', () => {
    const text = printed(
      (stream) => new PlainPrinter(stream),
      [
        started(1, '[internal] load build definition', 0),
        ended(1, 0),
        {
          ...{ type: 'warning', atMs: 0, text: 'FromAsCasing: x (line 1)', step: 1 },
          rule: {
            ...{ description: '', url: '', excerpt: '', source: { name: '', text: '' } },
            range: { startLine: 1, endLine: 1 },
          },
        },
      ],
    )
    assert.doesNotMatch(text, /WARN/)
    assert.match(text, /1 warning found.*\n - FromAsCasing: x \(line 1\)\n$/)
  })
})

describe('RawJsonPrinter', () => {
  it('says which step read the line that a warning is about', () => {
    const text = printed(
      (stream) => new RawJsonPrinter(stream, 0),
      [started(1, 'load', 0), { type: 'warning', atMs: 0, text: 'w', step: 1 }],
    )
    const [start, warned] = text
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line))
    const { digest } = (start as { vertexes: [{ digest: string }] }).vertexes[0]
    assert.deepEqual(warned, { warnings: [{ vertex: digest, level: 1, short: 'dw==' }] })
  })

  it('writes one object a line with the field names of BuildKit', () => {
    const text = printed(
      (stream) => new RawJsonPrinter(stream, 0),
      [
        started(1, 'RUN x', 0),
        log(1, 'hi\n', 10),
        moved(1, 20, 5, true),
        ended(1, 30, 'failed', 'bad'),
      ],
    )
    const [start, output, status, end] = text
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line))
    const digest = (start as { vertexes: [{ digest: string }] }).vertexes[0].digest
    assert.match(digest, /^sha256:[a-f0-9]{64}$/)
    assert.deepEqual(start, {
      vertexes: [{ digest, name: 'RUN x', started: '1970-01-01T00:00:00.000Z' }],
    })
    assert.deepEqual(output, {
      logs: [{ vertex: digest, stream: 1, data: 'aGkK', timestamp: '1970-01-01T00:00:00.010Z' }],
    })
    const at = '1970-01-01T00:00:00.020Z'
    assert.deepEqual(status, {
      statuses: [
        {
          id: 'sha256:abc',
          vertex: digest,
          total: 10_000_000,
          current: 5,
          timestamp: at,
          started: at,
          completed: at,
        },
      ],
    })
    assert.deepEqual(end, {
      vertexes: [
        {
          digest,
          name: 'RUN x',
          started: '1970-01-01T00:00:00.000Z',
          completed: '1970-01-01T00:00:00.030Z',
          error: 'bad',
        },
      ],
    })
  })
})
