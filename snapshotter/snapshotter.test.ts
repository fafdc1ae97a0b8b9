import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { requires } from './testing/requires.ts'

const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js')

/** Runs the tests of a spec in a process that `prefix` starts with other privileges. */
function runSpec(prefix: readonly [string, ...string[]], spec: string): void {
  const [command, ...options] = prefix
  const file = fileURLToPath(new URL(`testing/${spec}.js`, import.meta.url))
  const node = [process.execPath, mocha, '--no-config', '--timeout', '20000', file]
  const result = spawnSync(command, [...options, ...node], { encoding: 'utf8' })
  assert.equal(result.status, 0, result.stdout + result.stderr)
}

describe('snapshotters in a user namespace', () => {
  requires('userns')

  it('keep the same contract, with attributes that an ordinary user may set', function () {
    this.timeout(60_000)
    runSpec(['unshare', '--user', '--map-root-user', '--mount'], 'user-namespace.spec')
  })
})

describe('copying snapshots as an ordinary user', () => {
  requires('root')

  it('keeps the same contract but for owners and devices', function () {
    this.timeout(60_000)
    runSpec(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'], 'ordinary-user.spec')
  })
})
