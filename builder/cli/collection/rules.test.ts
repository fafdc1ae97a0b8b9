import assert from 'node:assert/strict'
import { collectionRules } from './rules.ts'

const LIMITS = { maxUsedBytes: 80e9, minFreeBytes: 20e9, reservedBytes: 10e9 }

describe('the rules of a collection', () => {
  /** What the last rule keeps, images with names included. */
  function keptBytes(cacheBytes: number, freeBytes: number, imagesBytes = 0): number {
    const usage = { totalBytes: cacheBytes + imagesBytes, reclaimableBytes: cacheBytes }
    return collectionRules(usage, { freeBytes }, LIMITS, 0).at(-1)?.keepBytes ?? assert.fail()
  }

  it('keep the cache below its maximum', () => {
    assert.equal(keptBytes(90e9, 100e9), 80e9)
  })

  it('keep the disk from getting full, but not at the cost of what is reserved', () => {
    assert.equal(keptBytes(50e9, 15e9), 45e9)
    assert.equal(keptBytes(50e9, 20e9), 50e9)
    assert.equal(keptBytes(12e9, 1e9), 10e9)
  })

  it('do not count images with names', () => {
    assert.equal(keptBytes(50e9, 15e9, 1000e9), 1045e9)
  })

  it('take first what is easily reproducible, last what images share', () => {
    const usage = { totalBytes: 3e9, reclaimableBytes: 1e9 }
    const rules = collectionRules(usage, { freeBytes: 0 }, LIMITS, 100 * 86_400_000)
    assert.deepEqual(
      rules.map(({ kinds, usedBeforeMs = Infinity, all }) => [
        [...kinds],
        usedBeforeMs / 86_400_000,
        all,
      ]),
      [
        [['context', 'download', 'cache-mount'], 98, false],
        [[], 40, false],
        [[], Infinity, false],
        [[], Infinity, true],
      ],
    )
    assert.equal(rules[0]?.keepBytes, 2e9 + 512e6)
  })
})
