import assert from 'node:assert/strict'
import { DisposableScope } from './scope.ts'

describe('scope of things to undo', () => {
  it('undoes the last first', async () => {
    const order: number[] = []
    {
      await using scope = new DisposableScope()
      scope.defer(() => order.push(1))
      scope.use({ [Symbol.asyncDispose]: async () => void order.push(2) })
    }
    assert.deepEqual(order, [2, 1])
  })

  it('undoes nothing once it was released', async () => {
    const scope = new DisposableScope()
    scope.defer(() => assert.fail('must not run'))
    scope.release()
    await scope[Symbol.asyncDispose]()
  })

  it('undoes everything although one undo fails, and reports the failure', async () => {
    let isDone = false
    const scope = new DisposableScope()
    scope.defer(() => {
      isDone = true
    })
    scope.defer(() => Promise.reject(new Error('busy')))
    await assert.rejects(scope[Symbol.asyncDispose](), /busy/)
    assert.ok(isDone)
  })
})
