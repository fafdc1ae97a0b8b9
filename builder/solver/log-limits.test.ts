import assert from 'node:assert/strict'
import type { BuildEvent } from '../events.ts'
import { LimitedLog, LOG_LIMITS_DEFAULT, readLogLimits } from './log-limits.ts'
import { StepReporter } from './steps.ts'

describe('log limits', () => {
  it('cut a stream at its size, once said, whatever else comes', () => {
    const log = new LimitedLog({ sizeBytesMax: 10, bytesPerSecMax: undefined }, 0)
    assert.equal(log.take('12345', 0), '12345')
    assert.match(log.take('6789abc', 0), /^6789a\n\[output clipped, log limit .* reached\]\n$/)
    assert.equal(log.take('more', 1e6), '')
    assert.equal(log.clippedTail, 'bcmore')
  })

  it('cut a stream that comes too fast, and show it again when the average is low', () => {
    const log = new LimitedLog({ sizeBytesMax: undefined, bytesPerSecMax: 1024 }, 0)
    assert.equal(log.take('x'.repeat(1024), 0).length, 1024)
    assert.match(log.take('y', 500), /log limit 1KiB\/s reached/)
    assert.equal(log.take('z', 2000), 'z')
    assert.equal(log.clippedTail, '')
  })

  it('name the limits of BuildKit', () => {
    const log = new LimitedLog(LOG_LIMITS_DEFAULT, 0)
    assert.match(log.take('x'.repeat(300_000), 0), /log limit 200KiB\/s reached/)
    assert.match(log.take('x'.repeat(1), 5000), /^x$/)
    assert.match(log.take('x'.repeat(3 << 20), 60_000), /log limit 2MiB reached/)
  })

  it('are read from the environment', () => {
    const refused: string[] = []
    const read = (env: Record<string, string>) =>
      readLogLimits(env, (message) => void refused.push(message))
    assert.deepEqual(read({}), LOG_LIMITS_DEFAULT)
    assert.deepEqual(
      read({ BUILDKIT_STEP_LOG_MAX_SIZE: '-1', BUILDKIT_STEP_LOG_MAX_SPEED: '100' }),
      { sizeBytesMax: undefined, bytesPerSecMax: 100 },
    )
    assert.deepEqual(read({ BUILDKIT_STEP_LOG_MAX_SIZE: 'much' }), LOG_LIMITS_DEFAULT)
    assert.equal(refused.length, 1)
  })

  it('show the end of what was clipped when the step fails', () => {
    const events: BuildEvent[] = []
    const reporter = new StepReporter(
      (event) => events.push(event),
      () => 0,
      { sizeBytesMax: 4, bytesPerSecMax: undefined },
    )
    const shown = (): string[] =>
      events.flatMap((event) => (event.type === 'step-log' ? [event.text] : []))
    const step = reporter.start('RUN x')
    step.log('stdout', 'abcdef')
    step.log('stdout', 'the reason\n')
    assert.equal(shown().length, 1)
    step.end('failed', 'exit code: 1')
    assert.equal(shown().at(-1), 'efthe reason\n')
    const other = reporter.start('RUN y')
    other.log('stdout', 'abcdefgh')
    other.end('done')
    assert.equal(shown().length, 3)
  })
})
