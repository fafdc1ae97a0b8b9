import assert from 'node:assert/strict'
import { OciError } from './errors.ts'
import {
  bestPlatform,
  formatPlatform,
  localPlatform,
  parsePlatform,
  platformRank,
} from './platform.ts'

const LOCAL = { os: 'linux', architecture: 'amd64' }

function best(wanted: string, ...offered: readonly string[]): string | undefined {
  const entries = offered.map((text) => ({ text, platform: parsePlatform(text, LOCAL) }))
  return bestPlatform(parsePlatform(wanted, LOCAL), entries)?.text
}

describe('parsePlatform', () => {
  const spellings: readonly (readonly [text: string, expected: string])[] = [
    ['linux/amd64', 'linux/amd64'],
    ['linux/x86_64', 'linux/amd64'],
    ['linux/amd64/v1', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64/v3'],
    ['linux/aarch64', 'linux/arm64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/arm64/8', 'linux/arm64'],
    ['linux/arm', 'linux/arm/v7'],
    ['linux/arm/6', 'linux/arm/v6'],
    ['linux/armhf', 'linux/arm/v7'],
    ['linux/armel', 'linux/arm/v6'],
    ['Linux/AMD64', 'linux/amd64'],
    ['macos/arm64', 'darwin/arm64'],
    ['linux', 'linux/amd64'],
    ['arm64', 'linux/arm64'],
    ['i386', 'linux/386'],
    ['local', 'linux/amd64'],
    ['windows(10.0.17763.1)/amd64', 'windows(10.0.17763.1)/amd64'],
    ['linux/unheard-of', 'linux/unheard-of'],
  ]
  for (const [text, expected] of spellings) {
    it(`reads ${text} as ${expected}`, () =>
      assert.equal(formatPlatform(parsePlatform(text, LOCAL)), expected))
  }

  for (const text of [
    '',
    'bogus',
    'a/b/c/d',
    'linux/',
    'linux/amd64/',
    'linux amd64',
    '(1)/amd64',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parsePlatform(text, LOCAL),
        (error) => error instanceof OciError && error.code === 'bad-platform',
      )
    })
  }
})

describe('localPlatform', () => {
  it('is a platform that reads back as itself', () => {
    const local = localPlatform()
    assert.deepEqual(parsePlatform(formatPlatform(local)), local)
  })
})

describe('bestPlatform', () => {
  it('takes the exact variant before older ones', () => {
    assert.equal(
      best('linux/arm/v7', 'linux/arm/v5', 'linux/arm/v6', 'linux/arm/v7'),
      'linux/arm/v7',
    )
    assert.equal(best('linux/arm/v7', 'linux/arm/v5', 'linux/arm/v6'), 'linux/arm/v6')
    assert.equal(best('linux/amd64/v3', 'linux/amd64', 'linux/amd64/v2'), 'linux/amd64/v2')
  })

  it('never takes a newer variant than the machine has', () => {
    assert.equal(best('linux/arm/v6', 'linux/arm/v7'), undefined)
    assert.equal(best('linux/amd64', 'linux/amd64/v2'), undefined)
  })

  it('takes what the processor also runs, last', () => {
    assert.equal(best('linux/amd64', 'linux/386'), 'linux/386')
    assert.equal(best('linux/amd64', 'linux/386', 'linux/amd64'), 'linux/amd64')
    assert.equal(best('linux/arm64', 'linux/arm/v6', 'linux/arm/v7'), 'linux/arm/v7')
  })

  it('does not confuse operating systems or architectures', () => {
    assert.equal(best('linux/amd64', 'windows/amd64', 'linux/s390x'), undefined)
  })

  it('takes the Windows image of the same build number', () => {
    const offered = ['windows(10.0.17763.1)/amd64', 'windows(10.0.20348.2)/amd64']
    assert.equal(best('windows(10.0.20348.99)/amd64', ...offered), offered[1])
  })

  it('takes the first of equals', () => {
    const entries = [1, 2].map((id) => ({ id, platform: LOCAL }))
    assert.equal(bestPlatform(LOCAL, entries)?.id, 1)
  })
})

describe('platformRank', () => {
  it('lets a v9 processor of arm64 run v8 images', () => {
    const rankOf = (variant: string): number | undefined =>
      platformRank(
        { os: 'linux', architecture: 'arm64', variant: 'v9' },
        { os: 'linux', architecture: 'arm64', variant },
      )
    assert.equal(rankOf('v9'), 0)
    assert.notEqual(rankOf('v8.5'), undefined)
    assert.notEqual(rankOf('v8'), undefined)
    assert.equal(rankOf('v9.2'), undefined)
  })
})
