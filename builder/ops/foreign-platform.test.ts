import assert from 'node:assert/strict'
import { missingEmulator } from './foreign-platform.ts'

describe('a RUN of another platform', () => {
  const machine = { os: 'linux', architecture: 'amd64' }
  const arm = { os: 'linux', architecture: 'arm64' }
  const failed = { exitCode: 126, lastLine: 'exec /bin/sh: exec format error' }

  it('that cannot be executed says which emulator is missing', () => {
    const said = missingEmulator(arm, failed, machine)
    assert.match(said ?? '', /linux\/arm64.*linux\/amd64.*qemu-user-static.*binfmt/)
    const shell = { ...failed, lastLine: '/bin/sh: ./x: Exec format error' }
    assert.equal(missingEmulator(arm, shell, machine), said)
  })

  it('that fails otherwise, or for this platform, says nothing of it', () => {
    assert.equal(missingEmulator(machine, failed, machine), undefined)
    assert.equal(missingEmulator(arm, { ...failed, exitCode: 1 }, machine), undefined)
    assert.equal(missingEmulator(arm, { ...failed, lastLine: 'denied' }, machine), undefined)
    assert.equal(missingEmulator(arm, { ...failed, lastLine: undefined }, machine), undefined)
  })
})
