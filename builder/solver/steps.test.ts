import assert from 'node:assert/strict'
import type { BuildEvent } from '../events.ts'
import { StepReporter } from './steps.ts'

describe('StepReporter', () => {
  const outcome = async (work: () => Promise<unknown>, signal: AbortSignal): Promise<unknown> => {
    const events: BuildEvent[] = []
    await new StepReporter((event) => events.push(event))
      .during('work', signal, work)
      .catch(() => undefined)
    const [started, ended] = events
    assert.ok(started?.type === 'step-started' && ended?.type === 'step-ended')
    assert.equal(events.length, 2)
    return [ended.outcome, ended.error]
  }

  it('tells how a step ended', async () => {
    const { signal } = new AbortController()
    assert.deepEqual(await outcome(async () => 1, signal), ['done', undefined])
    const failing = (): Promise<never> => Promise.reject(new Error('no such file'))
    assert.deepEqual(await outcome(failing, signal), ['failed', 'no such file'])
  })

  it('tells what the signal broke off from what failed', async () => {
    const broken = (): Promise<never> => Promise.reject(new Error('socket closed'))
    assert.deepEqual(await outcome(broken, AbortSignal.abort()), ['canceled', 'socket closed'])
  })

  it('passes on what the work gives, or throws', async () => {
    const reporter = new StepReporter(() => {})
    const { signal } = new AbortController()
    assert.equal(await reporter.during('work', signal, async ({ id }) => id), 1)
    const broken = new Error('broken')
    const failing = reporter.during('work', signal, () => Promise.reject(broken))
    await assert.rejects(failing, broken)
  })
})
