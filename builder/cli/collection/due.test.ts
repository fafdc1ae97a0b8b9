import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isCollectionDue } from './due.ts'
import { type DiskSpace, readCollectionSettings } from './limits.ts'

const MINUTE_MS = 60_000
const START_MS = Date.UTC(2026, 0, 1)
const ENOUGH: DiskSpace = { totalBytes: 100e9, freeBytes: 21e9 }
const SHORT: DiskSpace = { totalBytes: 100e9, freeBytes: 19e9 }

describe('the time of a collection', () => {
  let root: string
  let looks: number

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'tsbuild-due-'))
    looks = 0
  })

  afterEach(() => rm(root, { recursive: true, force: true }))

  const isDueAfter = (minutes: number, space: DiskSpace, place = root): Promise<boolean> => {
    const settings = readCollectionSettings({}) ?? assert.fail()
    const disk = async (): Promise<DiskSpace> => {
      looks += 1
      return space
    }
    return isCollectionDue({
      root: place,
      settings,
      nowMs: START_MS + minutes * MINUTE_MS,
      disk,
    })
  }

  it('is an hour after the last one, and not at the first build', async () => {
    assert.equal(await isDueAfter(0, SHORT), false)
    assert.equal(await isDueAfter(59, ENOUGH), false)
    assert.equal(await isDueAfter(60, ENOUGH), true)
    assert.equal(await isDueAfter(61, ENOUGH), false)
    assert.equal(await isDueAfter(120, ENOUGH), true)
  })

  it('comes earlier while the disk has less free than wanted', async () => {
    await isDueAfter(0, SHORT)
    assert.equal(await isDueAfter(4, SHORT), false)
    assert.equal(looks, 0)
    assert.equal(await isDueAfter(5, ENOUGH), false)
    assert.equal(await isDueAfter(5, SHORT), true)
    assert.equal(await isDueAfter(6, SHORT), false)
  })

  it('comes once when the clock was set back', async () => {
    await isDueAfter(0, ENOUGH)
    assert.equal(await isDueAfter(-1000, ENOUGH), true)
    assert.equal(await isDueAfter(-999, ENOUGH), false)
  })

  it('never comes where nothing can be noted', async () => {
    assert.equal(await isDueAfter(0, SHORT, join(root, 'gone')), false)
    assert.equal(await isDueAfter(0, SHORT, '/proc'), false)
  })
})
