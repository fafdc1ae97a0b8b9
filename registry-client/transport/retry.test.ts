import assert from 'node:assert/strict'
import { RegistryError } from '../errors.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { DEFAULT_RETRY_POLICY, parseRetryAfter, retrying } from './retry.ts'

const never = new AbortController().signal

function temporary(retryAfterMs?: number): RegistryError {
  return new RegistryError('server-failed', 'h answered 503', { isTemporary: true, retryAfterMs })
}

function failing(
  times: number,
  error: Error,
): { attempt: () => Promise<string>; readonly tries: () => number } {
  let tries = 0
  const attempt = async (): Promise<string> => {
    tries += 1
    if (tries <= times) throw error
    return 'done'
  }
  return { attempt, tries: () => tries }
}

describe('retrying', () => {
  it('waits about 1, 2 and 4 s and then gives the error with the number of tries', async () => {
    const clock = new ManualClock()
    clock.randomValue = 1
    const { attempt, tries } = failing(99, temporary())
    await assert.rejects(
      retrying({ clock, policy: DEFAULT_RETRY_POLICY, signal: never }, attempt),
      /503 \(tried 4 times\)/,
    )
    assert.equal(tries(), 4)
    assert.deepEqual(clock.sleptMs, [1000, 2000, 4000])
  })

  it('waits at least half of that, however chance falls', async () => {
    const clock = new ManualClock()
    await retrying(
      { clock, policy: DEFAULT_RETRY_POLICY, signal: never },
      failing(2, temporary()).attempt,
    )
    assert.deepEqual(clock.sleptMs, [500, 1000])
  })

  it('never waits shorter than Retry-After asked', async () => {
    const clock = new ManualClock()
    await retrying(
      { clock, policy: DEFAULT_RETRY_POLICY, signal: never },
      failing(1, temporary(30_000)).attempt,
    )
    assert.deepEqual(clock.sleptMs, [30_000])
  })

  it('gives up instead of waiting shorter when Retry-After asks for too long', async () => {
    const clock = new ManualClock()
    const { attempt, tries } = failing(1, temporary(3_600_000))
    const context = { clock, policy: DEFAULT_RETRY_POLICY, signal: never }
    await assert.rejects(retrying(context, attempt), /the server asks to wait 3600 s/)
    assert.equal(tries(), 1)
    assert.deepEqual(clock.sleptMs, [])
  })

  it('is tried a second time, but no third one, when failing takes long', async () => {
    for (const [answer, expected] of [
      [temporary(), 2],
      [temporary(1000), 4],
    ] as const) {
      const clock = new ManualClock()
      const { attempt, tries } = failing(99, answer)
      const slow = async (): Promise<string> => {
        clock.nowMs += 40_000
        return await attempt()
      }
      const context = { clock, policy: DEFAULT_RETRY_POLICY, signal: never, patienceMs: 60_000 }
      await assert.rejects(retrying(context, slow), /503 \(tried \d times\)/)
      assert.equal(tries(), expected)
    }
  })

  it('does not repeat what will not get better', async () => {
    const { attempt, tries } = failing(9, new RegistryError('denied', 'no'))
    await assert.rejects(
      retrying({ clock: new ManualClock(), policy: DEFAULT_RETRY_POLICY, signal: never }, attempt),
      /^RegistryError: no$/,
    )
    assert.equal(tries(), 1)
  })

  it('counts anew after progress', async () => {
    const clock = new ManualClock()
    const { attempt, tries } = failing(20, temporary())
    const context = { clock, policy: DEFAULT_RETRY_POLICY, signal: never, madeProgress: () => true }
    assert.equal(await retrying(context, attempt), 'done')
    assert.equal(tries(), 21)
  })

  it('ends with the reason of the signal', async () => {
    const controller = new AbortController()
    const attempt = async (): Promise<never> => {
      controller.abort(new Error('stopped by the user'))
      throw temporary()
    }
    const context = {
      clock: new ManualClock(),
      policy: DEFAULT_RETRY_POLICY,
      signal: controller.signal,
    }
    await assert.rejects(retrying(context, attempt), /stopped by the user/)
  })
})

describe('parseRetryAfter', () => {
  const now = Date.UTC(2026, 0, 1)
  it('reads seconds and dates', () => {
    assert.equal(parseRetryAfter('120', now), 120_000)
    assert.equal(parseRetryAfter('Thu, 01 Jan 2026 00:00:30 GMT', now), 30_000)
    assert.equal(parseRetryAfter('Thu, 01 Jan 1998 00:00:30 GMT', now), 0)
  })

  it('takes nothing else', () => {
    for (const text of [undefined, '', '-1', 'soon', '1.5', '9'.repeat(40), 'Xyz, nonsense']) {
      assert.equal(parseRetryAfter(text, now), undefined, text)
    }
  })
})
