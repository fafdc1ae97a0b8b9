import assert from 'node:assert/strict'
import { SingleFlight } from './single-flight.ts'

describe('SingleFlight', () => {
  it('does the work of a key once, and again after it failed', async () => {
    const flights = new SingleFlight<number>()
    let count = 0
    const work = async (): Promise<number> => {
      count += 1
      if (count === 1) throw new Error('first')
      return count
    }
    const both = [flights.run('a', work), flights.run('a', work)]
    for (const flight of both) await assert.rejects(flight, /first/)
    assert.deepEqual(await Promise.all([flights.run('a', work), flights.run('a', work)]), [2, 2])
  })
})
