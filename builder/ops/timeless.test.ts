import assert from 'node:assert/strict'
import type { PackEntry } from '../../snapshotter/index.ts'
import { STEP_INPUTS } from '../cache/testing/memory-cache.ts'
import { TimeWatch, withoutEpoch } from './timeless.ts'

const PLAIN = { mode: 0o755, uid: 0, gid: 0 }

describe('TimeWatch', () => {
  const isTimeless = async (...pages: (readonly PackEntry[])[]): Promise<boolean> => {
    const time = new TimeWatch(100)
    const seen: (readonly PackEntry[])[] = []
    for await (const page of time.over(pages)) seen.push(page)
    assert.deepEqual(seen, pages)
    return time.isTimeless
  }

  it('finds an entry that has the time, on any page', async () => {
    const entry = (path: string, mtimeSec: number): PackEntry => ({
      ...{ ...PLAIN, type: 'dir', path, mtimeSec },
    })
    assert.equal(await isTimeless(), true)
    assert.equal(await isTimeless([entry('a', 99)], [entry('b', 101)]), true)
    assert.equal(await isTimeless([entry('a', 99)], [entry('b', 101), entry('c', 100)]), false)
    assert.equal(await isTimeless([entry('a', 100)], [entry('b', 1)]), false)
    assert.equal(await isTimeless([{ type: 'whiteout', path: 'a' }]), true)
  })
})

describe('withoutEpoch', () => {
  it('leaves out the time of SOURCE_DATE_EPOCH alone, where there is one', () => {
    assert.deepEqual(withoutEpoch({ ...STEP_INPUTS, epochSec: 0 }), STEP_INPUTS)
    assert.equal(withoutEpoch(STEP_INPUTS), undefined)
  })
})
