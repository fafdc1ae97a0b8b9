import assert from 'node:assert/strict'
import { sandboxEnvironment } from './environment.ts'

describe('sandboxEnvironment', () => {
  it("puts Docker's PATH in front when none was asked for", () => {
    assert.deepEqual(sandboxEnvironment(['A=1'], false), [
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'A=1',
    ])
  })

  it('leaves a PATH that was asked for alone, an empty one too', () => {
    assert.deepEqual(sandboxEnvironment(['PATH='], false), ['PATH='])
  })

  it('names a terminal only where there is one and none was named', () => {
    assert.deepEqual(sandboxEnvironment(['PATH=/bin'], true), ['PATH=/bin', 'TERM=xterm'])
    assert.deepEqual(sandboxEnvironment(['PATH=/bin', 'TERM=dumb'], true), [
      'PATH=/bin',
      'TERM=dumb',
    ])
  })
})
