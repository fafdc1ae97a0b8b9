import assert from 'node:assert/strict'
import { SpareProgram } from './spare-program.ts'

describe('SpareProgram', () => {
  it('gives the process that was started ahead, once, and then new ones', async () => {
    const spare = new SpareProgram('/usr/bin/yes')
    spare.prepare()
    spare.prepare()
    const first = spare.take()
    const second = spare.take()
    assert.notEqual(first.child.pid, second.child.pid)
    assert.ok((first.child.pid ?? 0) < (second.child.pid ?? 0))
    first.child.kill()
    second.child.kill()
    assert.equal(await first.ended, 'was killed by SIGTERM')
    await second.ended
  })

  it('tells how one ended, or why it could not be started', async () => {
    const spare = new SpareProgram('/bin/false')
    spare.prepare()
    const dead = spare.take()
    assert.match(await dead.ended, /^ended with status 1$/)
    const missing = new SpareProgram('/no/such/program')
    missing.prepare()
    assert.match(await missing.take().ended, /^could not be started: spawn .*ENOENT/)
  })
})
