import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { digestOf } from '../../registry-client/oci/index.ts'
import type { ScannedEntry } from '../../snapshotter/index.ts'
import { StatCache } from './stat-cache.ts'

const LATER_MS = 2_000_000_000_000

describe('StatCache', () => {
  let directory = ''
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'tsbuild-stat-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  const open = (): Promise<StatCache> =>
    StatCache.open({ file: join(directory, 'cache'), workDirectory: directory })

  const entry = (path: string, changes: Partial<ScannedEntry> = {}): ScannedEntry => ({
    path,
    type: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    sizeBytes: 5_000_000_000,
    mtimeSec: 1_700_000_000,
    mtimeNsec: 999_999_999,
    ctimeSec: 1_700_000_001,
    ctimeNsec: 4_000_000,
    dev: 2 ** 40,
    ino: 2 ** 50 + 1,
    nlink: 1,
    ...changes,
  })

  const fill = async (paths: readonly string[]): Promise<void> => {
    const cache = await open()
    for (const path of paths) {
      cache.record(entry(path), digestOf(path), LATER_MS)
    }
    await cache.save(paths.map((path) => entry(path)))
  }

  it('remembers digests between builds, whatever the names are', async () => {
    const paths = [
      'a',
      'd/ü',
      'd/\udcff',
      'd/line\nfeed',
      ...Array.from({ length: 9000 }, (_, i) => `n/${i}`),
    ]
    await fill(paths)
    const cache = await open()
    for (const path of paths) {
      assert.equal(cache.lookup(entry(path)), digestOf(path))
    }
    assert.equal(cache.lookup(entry('b')), undefined)
    assert.deepEqual(readdirSync(directory), ['cache'])
  })

  it('forgets a file when anything about it is different', async () => {
    await fill(['a'])
    const cache = await open()
    const changes: Partial<ScannedEntry>[] = [
      { sizeBytes: 1 },
      { mtimeSec: 1 },
      { mtimeNsec: 1 },
      { ctimeSec: 1 },
      { ctimeNsec: 1 },
      { dev: 1 },
      { ino: 1 },
    ]
    for (const change of changes) {
      assert.equal(cache.lookup(entry('a', change)), undefined)
    }
  })

  it('does not record a file that changed within the two seconds before', async () => {
    const cache = await open()
    const changedMs = 1_700_000_001_004
    cache.record(entry('new'), digestOf(''), changedMs + 1999)
    cache.record(entry('old'), digestOf(''), changedMs + 2000)
    await cache.save([entry('new'), entry('old')])
    const next = await open()
    assert.equal(next.lookup(entry('new')), undefined)
    assert.equal(next.lookup(entry('old')), digestOf(''))
  })

  it('writes nothing when nothing was learned', async () => {
    await fill(['a'])
    const before = readFileSync(join(directory, 'cache'))
    rmSync(join(directory, 'cache'))
    await (await open()).save([entry('a')])
    assert.deepEqual(readdirSync(directory), [])
    writeFileSync(join(directory, 'cache'), before)
    const cache = await open()
    cache.record(entry('b'), digestOf('b'), LATER_MS)
    await cache.save([entry('b')])
    const next = await open()
    assert.deepEqual(
      [next.lookup(entry('a')), next.lookup(entry('b'))],
      [digestOf('a'), digestOf('b')],
    )
  })

  it('is empty when its file is damaged', async () => {
    await fill(['a', 'b'])
    const whole = readFileSync(join(directory, 'cache'))
    for (let index = 0; index < whole.length; index += 7) {
      const damaged = Buffer.from(whole)
      damaged[index] = (damaged[index] ?? 0) ^ 1
      writeFileSync(join(directory, 'cache'), damaged)
      assert.equal((await open()).lookup(entry('a')), undefined)
      writeFileSync(join(directory, 'cache'), whole.subarray(0, index))
      assert.equal((await open()).lookup(entry('a')), undefined)
    }
  })
})
