import assert from 'node:assert/strict'
import { SignalFlight } from './signal-flight.ts'

describe('SignalFlight', () => {
  it('does work once, and again when its signal was aborted or it failed', async () => {
    const flights = new SignalFlight<number>()
    let count = 0
    const work = async (): Promise<number> => {
      count += 1
      return count
    }
    const first = new AbortController()
    const second = new AbortController()
    assert.equal(await flights.run('a', first.signal, work), 1)
    assert.equal(await flights.run('a', second.signal, work), 1)
    first.abort()
    assert.equal(await flights.run('a', second.signal, work), 2)
    assert.equal(await flights.run('a', second.signal, work), 2)
    const failing = flights.run('b', second.signal, () => Promise.reject(new Error('no')))
    await assert.rejects(failing, /no/)
    assert.equal(await flights.run('b', second.signal, work), 3)
  })

  it('keeps what was made anew when the one before fails late', async () => {
    const flights = new SignalFlight<number>()
    const first = new AbortController()
    const late = flights.run('a', first.signal, async (signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      throw new Error('late')
    })
    first.abort()
    const { signal } = new AbortController()
    assert.equal(await flights.run('a', signal, async () => 1), 1)
    await assert.rejects(late, /late/)
    assert.equal(await flights.run('a', signal, async () => 2), 1)
  })
})
