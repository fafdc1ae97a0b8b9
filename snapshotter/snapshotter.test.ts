import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { requires } from './testing/requires.ts'

const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js')
const spec = fileURLToPath(new URL('testing/user-namespace.spec.js', import.meta.url))

describe('snapshotters in a user namespace', () => {
  requires('userns')

  it('keep the same contract, with attributes that an ordinary user may set', function () {
    this.timeout(60_000)
    const inside = ['--user', '--map-root-user', '--mount', process.execPath, mocha]
    const result = spawnSync('unshare', [...inside, '--no-config', '--timeout', '20000', spec], {
      encoding: 'utf8',
    })
    assert.equal(result.status, 0, result.stdout + result.stderr)
  })
})
