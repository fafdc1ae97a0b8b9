import assert from 'node:assert/strict'
import { orAborted } from './or-aborted.ts'

describe('orAborted', () => {
  it('gives what the work gives, and its failure', async () => {
    const { signal } = new AbortController()
    assert.equal(await orAborted(Promise.resolve(7), signal), 7)
    await assert.rejects(orAborted(Promise.reject(new Error('broken')), signal), /broken/)
  })

  it('leaves no failure that nobody handles, before the abort and after it', async () => {
    const unhandled: unknown[] = []
    const listeners = process.listeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection')
    process.on('unhandledRejection', (reason) => unhandled.push(reason))
    try {
      const stopped = AbortSignal.abort(new Error('stopped'))
      await assert.rejects(orAborted(Promise.reject(new Error('early')), stopped), /stopped/)
      const controller = new AbortController()
      let fail = (_: Error): void => undefined
      const work = new Promise<never>((_, reject) => {
        fail = reject
      })
      const waiting = orAborted(work, controller.signal)
      controller.abort(new Error('stopped later'))
      await assert.rejects(waiting, /stopped later/)
      fail(new Error('late'))
      await new Promise((resolve) => setImmediate(resolve))
      assert.deepEqual(unhandled, [])
    } finally {
      process.removeAllListeners('unhandledRejection')
      for (const listener of listeners) process.on('unhandledRejection', listener)
    }
  })
})
