import assert from 'node:assert/strict'
import { requires } from '../../snapshotter/testing/requires.ts'
import { OrdinaryUser } from './testing/ordinary-user.ts'

describe('the worker of an ordinary user', () => {
  requires('userns')
  let user: OrdinaryUser
  before(async function (this: Mocha.Context) {
    // May install a package and make an account.
    this.timeout(120_000)
    user = await OrdinaryUser.open()
  })
  after(async () => {
    await user?.[Symbol.asyncDispose]()
  })

  it('runs, packs, unpacks and removes with all owners that images have', async () => {
    const { status, stdout, stderr } = await user.run(
      'builder/worker/testing/rootless-script.js',
      [],
    )
    assert.equal(status, 0, stderr)
    const seen: unknown = JSON.parse(stdout)
    assert.ok(typeof seen === 'object' && seen !== null)
    const { rung, driver, made, entries, again, asUser, outerUid, ownUid, isRemoved } =
      seen as Record<string, Record<string, unknown>>
    assert.deepEqual([rung, driver], ['userns-subids', 'overlay'])
    assert.equal(made?.['stdout'], '0\n2\n', String(made?.['stderr']))
    assert.deepEqual(entries, [
      'dir bin 0:0',
      'whiteout bin/vi',
      'dir d 33:33',
      'file d/f 1000:1001',
      'dir dev 0:0',
      'dir mnt 0:0',
      'dir proc 0:0',
      'dir sys 0:0',
    ])
    assert.equal(again?.['stdout'], '33:33\n1000:1001\n/mnt:\n', String(again?.['stderr']))
    assert.match(String(asUser?.['stdout']), /^1000\n1001 10 29\nCapBnd:\t00000000a80425fb\n1\n/)
    assert.match(String(asUser?.['stdout']), /\/dev\/pts\/ptmx\n|\/sys\/class\n/)
    assert.notEqual(outerUid, ownUid)
    assert.equal(isRemoved, true)
  })
})
