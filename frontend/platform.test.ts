import assert from 'node:assert/strict'
import { formatFullPlatform, normalizePlatform, parsePlatform } from './platform.ts'

const LOCAL = { os: 'linux', architecture: 'amd64' }

function parsed(text: string): string {
  const platform = parsePlatform(text, LOCAL)
  return 'fault' in platform ? platform.fault : formatFullPlatform(platform)
}

describe('parsePlatform', () => {
  it('fills in what is left out', () => {
    assert.equal(parsed('linux'), 'linux/amd64')
    assert.equal(parsed('arm64'), 'linux/arm64')
    assert.equal(parsed('macos'), 'darwin/amd64')
  })

  it('makes names canonical', () => {
    assert.equal(parsed('Linux/x86_64'), 'linux/amd64')
    assert.equal(parsed('linux/aarch64'), 'linux/arm64')
    assert.equal(parsed('linux/arm64/v8'), 'linux/arm64/v8')
    assert.equal(parsed('linux/arm'), 'linux/arm')
    assert.equal(parsed('linux/arm/6'), 'linux/arm/v6')
    assert.equal(parsed('linux/armel'), 'linux/arm/v6')
    assert.equal(parsed('windows(10.0.1)/amd64'), 'windows(10.0.1)/amd64')
  })

  it('refuses what is no platform', () => {
    assert.match(parsed('linux/*'), /wildcards not yet supported/)
    assert.match(parsed('linux/a/b/c'), /cannot parse platform specifier/)
    assert.match(parsed('no-such'), /unknown operating system or architecture/)
    assert.match(
      parsed('linux/'),
      /"" is an invalid component of "linux\/": .* must match "\^\[A-Za-z0-9_\.-\]\+\$"$/,
    )
    assert.match(parsed('/amd64'), /"" is an invalid OS component of "\/amd64": .* must match "\^/)
  })

  it('normalises the variants that mean nothing', () => {
    const normal = (architecture: string, variant: string) =>
      formatFullPlatform(normalizePlatform({ os: 'linux', architecture, variant }))
    assert.equal(normal('arm64', 'v8'), 'linux/arm64')
    assert.equal(normal('amd64', 'v1'), 'linux/amd64')
    assert.equal(normal('amd64', 'v3'), 'linux/amd64/v3')
    assert.equal(normal('arm', ''), 'linux/arm/v7')
  })
})
