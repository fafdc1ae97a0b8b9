import assert from 'node:assert/strict'
import { UsageError } from '../errors.ts'
import { limitsOn, readCollectionSettings } from './limits.ts'

describe('limits of collections after builds', () => {
  const limits = (text: string | undefined, totalBytes: number): unknown => {
    const settings = readCollectionSettings({ TSBUILD_GC: text })
    return settings === undefined ? undefined : limitsOn(settings, { totalBytes })
  }

  it("are BuildKit's parts of the disk, of a large one at most some amount", () => {
    assert.deepEqual(limits(undefined, 50e9), {
      maxUsedBytes: 40e9,
      minFreeBytes: 10e9,
      reservedBytes: 5e9,
    })
    assert.deepEqual(limits('', 1000e9), {
      maxUsedBytes: 100e9,
      minFreeBytes: 200e9,
      reservedBytes: 10e9,
    })
  })

  it('are replaced one by one, as sizes or parts of the disk', () => {
    assert.deepEqual(limits('max-used-space=50%,min-free-space=1.5g', 1000e9), {
      maxUsedBytes: 500e9,
      minFreeBytes: 1.5 * 2 ** 30,
      reservedBytes: 10e9,
    })
    assert.deepEqual(limits('reserved-space=0', 50e9), {
      maxUsedBytes: 40e9,
      minFreeBytes: 10e9,
      reservedBytes: 0,
    })
  })

  it('can be none', () => {
    assert.equal(limits('off', 50e9), undefined)
  })

  it('are refused when they cannot be read', () => {
    for (const text of ['on', 'max-used-space', 'max-used-space=much', 'min-free-space=101%']) {
      assert.throws(() => limits(text, 1), UsageError, text)
    }
  })
})
