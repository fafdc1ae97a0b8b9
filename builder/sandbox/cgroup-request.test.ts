import assert from 'node:assert/strict'
import { commonGroup, groupPath, groupsAbove } from './cgroup-request.ts'

describe('paths of control groups', () => {
  it('know what is above them, and above two of them', () => {
    assert.deepEqual(groupsAbove('/a/b/c'), ['/', '/a', '/a/b'])
    assert.deepEqual(groupsAbove('/'), [])
    const pairs = [
      ['/a/b/c', '/a/b/d/e', '/a/b'],
      ['/a/b', '/a/b/c', '/a/b'],
      ['/a', '/ab', '/'],
      ['/', '/a', '/'],
    ] as const
    for (const [one, other, common] of pairs) {
      assert.equal(commonGroup(one, other), common)
      assert.equal(commonGroup(other, one), common)
    }
  })

  it('begin at the root of the hierarchy and do not leave it', () => {
    assert.equal(groupPath('a//b'), '/a/b')
    assert.equal(groupPath('/a'), '/a')
    assert.throws(() => groupPath('a/../b'), { code: 'sandbox-limit-unsupported' })
  })
})
