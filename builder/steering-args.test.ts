import assert from 'node:assert/strict'
import { isMultiPlatform, keepsGitDirectory } from './steering-args.ts'

const AMD = { os: 'linux', architecture: 'amd64' }
const ARM = { os: 'linux', architecture: 'arm64' }

describe('isMultiPlatform', () => {
  const wanted = (
    value: string | undefined,
    platforms = [AMD],
    repeated: readonly (typeof AMD)[] = [],
  ): boolean =>
    isMultiPlatform({
      platforms,
      repeatedPlatforms: repeated,
      buildArgs: new Map(value === undefined ? [] : [['BUILDKIT_MULTI_PLATFORM', value]]),
    })

  it('is so for several platforms, or when it is asked for', () => {
    assert.equal(wanted(undefined), false)
    assert.equal(wanted(undefined, [AMD, ARM]), true)
    assert.equal(wanted(undefined, [AMD], [AMD]), true)
    assert.equal(wanted('1'), true)
    assert.equal(wanted('false'), false)
    assert.equal(wanted(''), false)
  })

  it('refuses what contradicts the platforms, and what is no boolean', () => {
    assert.throws(() => wanted('0', [AMD, ARM]), /multiple target platforms is not allowed/)
    assert.throws(() => wanted('yes'), /invalid boolean value for multi-platform: yes/)
  })
})

describe('keepsGitDirectory', () => {
  it('reads a boolean as Go does; anything else says nothing', () => {
    const keeps = (value: string): boolean =>
      keepsGitDirectory(new Map([['BUILDKIT_CONTEXT_KEEP_GIT_DIR', value]]))
    assert.deepEqual(['1', 'true', 'T', '0', 'yes', ''].map(keeps), [
      ...[true, true, true],
      ...[false, false, false],
    ])
    assert.equal(keepsGitDirectory(new Map()), false)
  })
})
