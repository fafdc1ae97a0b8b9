import assert from 'node:assert/strict'
import { SingleFlight } from './single-flight.ts'

const never = new AbortController().signal

describe('SingleFlight', () => {
  it('does the work of a key once, and again after it failed', async () => {
    const flights = new SingleFlight<number>()
    let count = 0
    const work = async (): Promise<number> => {
      count += 1
      if (count === 1) throw new Error('first')
      return count
    }
    const both = [flights.run('a', never, work), flights.run('a', never, work)]
    for (const flight of both) await assert.rejects(flight, /first/)
    assert.deepEqual(
      await Promise.all([flights.run('a', never, work), flights.run('a', never, work)]),
      [2, 2],
    )
  })

  it('does not give work that was stopped to who asks later, who begins when it has ended', async () => {
    const flights = new SingleFlight<string>()
    const stopping = new AbortController()
    const log: string[] = []
    const stopped = flights.run('a', stopping.signal, async () => {
      await new Promise<void>((resolve) => {
        stopping.signal.addEventListener('abort', () => setImmediate(resolve), { once: true })
      })
      log.push('stopped')
      throw new Error('stopped')
    })
    stopping.abort()
    const again = async (): Promise<string> => {
      log.push('again')
      return 'done'
    }
    const later = [flights.run('a', never, again), flights.run('a', never, again)]
    await assert.rejects(stopped, /stopped/)
    assert.deepEqual(await Promise.all(later), ['done', 'done'])
    assert.deepEqual(log, ['stopped', 'again'])
  })

  it('keeps what was done before the signal was given', async () => {
    const flights = new SingleFlight<string>()
    const stopping = new AbortController()
    await flights.run('a', stopping.signal, async () => 'done')
    stopping.abort()
    const again = (): Promise<string> => assert.fail('done twice')
    assert.equal(await flights.run('a', never, again), 'done')
  })
})
