import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Digest, digestOf } from '../../registry-client/oci/index.ts'
import type { ScannedEntry } from '../../snapshotter/index.ts'
import { temporaryPaths } from '../../snapshotter/testing/temporary-directory.ts'
import { StatCache } from './stat-cache.ts'

const LATER_MS = 2_000_000_000_000

describe('StatCache', () => {
  let directory = ''
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'tsbuild-stat-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  const open = (): Promise<StatCache> =>
    StatCache.open({ file: join(directory, 'cache'), temporaryPath: temporaryPaths(directory) })

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
      await cache.record(entry(path), digestOf(path), LATER_MS)
    }
    await cache.save()
  }

  /** What the next build finds. */
  const found = async (paths: readonly string[]): Promise<(Digest | undefined)[]> => {
    const cache = await open()
    const digests = await cache.lookup(paths.map((path) => entry(path)))
    await cache.save()
    return digests
  }

  it('finds in the same build what it recorded, in order or not', async () => {
    const cache = await open()
    const paths = Array.from({ length: 20_000 }, (_, i) => `n/${String(i).padStart(6, '0')}`)
    const asWalked = [...paths.slice(9000), ...paths.slice(0, 9000)]
    for (const path of asWalked) {
      await cache.record(entry(path), digestOf(path), LATER_MS)
    }
    await cache.record(entry('n/000500'), digestOf('changed'), LATER_MS)
    const expected = paths.map((path) => digestOf(path === 'n/000500' ? 'changed' : path))
    assert.deepEqual(await cache.lookup(paths.map((path) => entry(path))), expected)
    await cache.save()
    assert.deepEqual(await found(paths), expected)
    assert.deepEqual(readdirSync(directory), ['cache'])
  })

  it('forgets what nobody asks for, when it is more than the rest', async () => {
    const old = Array.from({ length: 5000 }, (_, i) => `old/${i}`)
    await fill([...old, 'a'])
    const cache = await open()
    await cache.lookup([entry('a')])
    await cache.record(entry('b'), digestOf('b'), LATER_MS)
    await cache.save()
    const kept = await found(['a', 'b', ...old])
    assert.deepEqual(kept.slice(0, 2), [digestOf('a'), digestOf('b')])
    assert.equal(kept.slice(2).filter((digest) => digest !== undefined).length, 1000)
  })

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
    const asked = [...paths, 'b']
    const found = await cache.lookup(asked.map((path) => entry(path)))
    assert.deepEqual(found, [...paths.map((path) => digestOf(path)), undefined])
    await cache.save()
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
      assert.deepEqual(await cache.lookup([entry('a', change)]), [undefined])
    }
    await cache.save()
  })

  it('does not record a file that changed within the two seconds before', async () => {
    const cache = await open()
    const changedMs = 1_700_000_001_004
    await cache.record(entry('new'), digestOf(''), changedMs + 1999)
    await cache.record(entry('old'), digestOf(''), changedMs + 2000)
    await cache.save()
    assert.deepEqual(await found(['new', 'old']), [undefined, digestOf('')])
  })

  it('writes nothing when nothing was learned', async () => {
    await fill(['a'])
    const before = readFileSync(join(directory, 'cache'))
    rmSync(join(directory, 'cache'))
    await (await open()).save()
    assert.deepEqual(readdirSync(directory), [])
    writeFileSync(join(directory, 'cache'), before)
    const cache = await open()
    await cache.record(entry('b'), digestOf('b'), LATER_MS)
    await cache.save()
    assert.deepEqual(await found(['a', 'b']), [digestOf('a'), digestOf('b')])
  })

  it('is empty when its file is damaged', async () => {
    await fill(['a', 'b'])
    const whole = readFileSync(join(directory, 'cache'))
    for (let index = 0; index < whole.length; index += 7) {
      const damaged = Buffer.from(whole)
      damaged[index] = (damaged[index] ?? 0) ^ 1
      writeFileSync(join(directory, 'cache'), damaged)
      assert.deepEqual(await found(['a']), [undefined])
      writeFileSync(join(directory, 'cache'), whole.subarray(0, index))
      assert.deepEqual(await found(['a']), [undefined])
    }
  })
})
