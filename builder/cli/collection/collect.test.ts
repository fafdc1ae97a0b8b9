import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { watch } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type GcResult, kernel, openStore } from '../../../snapshotter/index.ts'
import { ImageStore } from '../../image/image-store.ts'
import type { CommandServices } from '../services.ts'
import { collectByRules } from './collect.ts'
import { readCollectionSettings } from './limits.ts'

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url))
const HOUR_MS = 60 * 60 * 1000
const NOW_MS = Date.UTC(2020, 0, 1)
const { signal } = new AbortController()

describe('a collection by rules', () => {
  let place: string
  let root: string

  beforeEach(async () => {
    place = await mkdtemp(join(tmpdir(), 'tsbuild-collect-'))
    root = join(place, 'root')
  })

  afterEach(() => rm(place, { recursive: true, force: true }))

  /** Builds an image of one layer with 100,000 bytes that gzip cannot make less. */
  async function build(name: string, flags: readonly string[], env = {}): Promise<string> {
    const context = join(place, name)
    await mkdir(context)
    await writeFile(join(context, 'Dockerfile'), `FROM scratch\nCOPY file /${name}\n`)
    await writeFile(join(context, 'file'), randomBytes(100_000))
    const args = [MAIN, 'build', '--progress=plain', '--root', root, ...flags, context]
    const { status, stderr } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      env: { ...process.env, ...env },
    })
    assert.equal(status, 0, stderr)
    return stderr
  }

  const buildCache = (name: string): Promise<string> => build(name, ['-o', 'type=cacheonly'])

  async function open(): Promise<CommandServices> {
    const store = await openStore({ path: root, kernel }, signal)
    const images = ImageStore.of(store)
    return { kernel, store, images, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
  }

  /** With the limits of `text`, on a disk that has as much left. */
  function collect(text: string, freeBytes = 1e12): Promise<GcResult | undefined> {
    const settings = readCollectionSettings({ TSBUILD_GC: text }) ?? assert.fail()
    const disk = async (): Promise<{ totalBytes: number; freeBytes: number }> => ({
      totalBytes: 1e12,
      freeBytes,
    })
    return collectByRules({ open, settings, disk, nowMs: NOW_MS }, signal)
  }

  /** Of everything that builds until now have left. */
  async function setLastUsed(atMs: number): Promise<void> {
    const at = new Date(atMs)
    for (const directory of ['cache', 'contexts']) {
      const entries = await readdir(join(root, directory), {
        recursive: true,
        withFileTypes: true,
      })
      for (const entry of entries.filter((one) => one.isFile())) {
        const path = join(entry.parentPath, entry.name)
        if ((await stat(path)).mtimeMs > NOW_MS) await utimes(path, at, at)
      }
    }
  }

  const steps = (): Promise<string[]> => readdir(join(root, 'cache/steps'))
  const layers = (): Promise<string[]> => readdir(join(root, 'layers/records'))

  it('takes the least recently used until the cache is below its maximum, and no image with a name', async () => {
    await build('image', ['-t', 'app'])
    await setLastUsed(NOW_MS - 9 * HOUR_MS)
    const [image] = await layers()
    await buildCache('old')
    await setLastUsed(NOW_MS - 8 * HOUR_MS)
    const old = (await layers()).find((name) => name !== image)
    await buildCache('new')
    await setLastUsed(NOW_MS - 7 * HOUR_MS)
    assert.equal(await collect('max-used-space=210k,reserved-space=0'), undefined)
    assert.ok(await collect('max-used-space=150k,reserved-space=0'))
    assert.equal((await layers()).length, 2)
    assert.ok(!(await layers()).includes(old ?? assert.fail()))
    await collect('max-used-space=0,reserved-space=0')
    assert.deepEqual(await layers(), [image])
    // Without the image's own steps nothing more would be free.
    assert.equal((await steps()).length, 1)
  })

  it('takes what the disk lacks, but not what is reserved', async () => {
    await buildCache('one')
    await setLastUsed(NOW_MS - HOUR_MS)
    assert.equal(await collect('min-free-space=1g,reserved-space=1m', 0), undefined)
    assert.equal(await collect('min-free-space=1g,reserved-space=0', 2 ** 30), undefined)
    await collect('min-free-space=1g,reserved-space=0', 2 ** 30 - 50_000)
    assert.deepEqual(await layers(), [])
  })

  it('takes downloads and the like after two days once there is much of everything', async () => {
    await buildCache('one')
    await setLastUsed(NOW_MS - 49 * HOUR_MS)
    const downloads = join(root, 'contexts/downloads')
    await mkdir(downloads, { recursive: true })
    const download = async (name: string, hours: number, sizeBytes: number): Promise<void> => {
      const at = new Date(NOW_MS - hours * HOUR_MS)
      await writeFile(join(downloads, name), '')
      await truncate(join(downloads, name), sizeBytes)
      await utimes(join(downloads, name), at, at)
    }
    await download('old', 49, 400e6)
    assert.equal(await collect(''), undefined)
    await download('new', 47, 400e6)
    await collect('')
    assert.deepEqual(await readdir(downloads), ['new'])
    assert.equal((await steps()).length, 1)
  })

  it('is made by one process at a time', async () => {
    await buildCache('one')
    await setLastUsed(NOW_MS - HOUR_MS)
    {
      await using other = await open()
      await using _lock = await other.store.locks.tryAcquire('collection')
      assert.equal(await collect('max-used-space=0,reserved-space=0'), undefined)
    }
    const both = await Promise.all([
      collect('max-used-space=0,reserved-space=0'),
      collect('max-used-space=0,reserved-space=0'),
    ])
    assert.equal(both.filter((one) => one !== undefined).length, 1)
    assert.deepEqual(await layers(), [])
  })

  it('leaves what a running build holds', async () => {
    await buildCache('one')
    await setLastUsed(NOW_MS - HOUR_MS)
    await using other = await open()
    const [diffId = assert.fail()] = await other.store.layers.diffIds()
    assert.ok(await other.store.layers.get(diffId, signal))
    await collect('max-used-space=0,reserved-space=0')
    assert.equal((await layers()).length, 1)
  })

  it('is started by a build, which does not wait for it', async () => {
    const env = { TSBUILD_GC: 'max-used-space=0,reserved-space=0' }
    const cacheOnly = ['-o', 'type=cacheonly']
    await build('one', cacheOnly, env)
    const longAgo = new Date(0)
    await utimes(join(root, 'collected'), longAgo, longAgo)
    await build('two', cacheOnly, { TSBUILD_GC: 'off' })
    assert.equal((await steps()).length, 2)
    const watcher = watch(join(root, 'cache/steps'))
    try {
      const emptied = new Promise<void>((resolve) => {
        watcher.on('change', () => void steps().then((left) => left.length === 0 && resolve()))
      })
      await build('three', cacheOnly, env)
      await emptied
    } finally {
      watcher.close()
    }
    // The collection has ended when it gives its lock back.
    await using own = await open()
    await using _collection = await own.store.locks.acquire('collection', signal)
    assert.deepEqual(await layers(), [])
  })

  it('that failed is told by the next build, once, unless one has worked since', async () => {
    const told = async (name: string): Promise<string[]> =>
      (await buildCache(name)).split('\n').filter((line) => line.includes('could not be collected'))
    const fail = async (): Promise<void> => {
      const settings = readCollectionSettings({}) ?? assert.fail()
      const disk = (): Promise<never> => Promise.reject(new Error('the disk\nis gone'))
      const failing = collectByRules({ open, settings, disk, nowMs: NOW_MS }, signal)
      await assert.rejects(failing, /is gone/)
    }
    await fail()
    assert.match((await told('one')).join('\n'), /^.*after an earlier build: the disk is gone$/)
    assert.deepEqual(await told('two'), [])
    await fail()
    await collect('')
    assert.deepEqual(await told('three'), [])
  })

  it('is refused with limits that cannot be read, before anything is built', () => {
    const env = { ...process.env, TSBUILD_GC: 'some' }
    for (const args of [['build', place], ['prune', '--auto'], ['du']]) {
      const argv = [MAIN, ...args, '--root', root]
      const { status, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8', env })
      assert.equal(status, 2, stderr)
      assert.match(stderr, /invalid TSBUILD_GC "some"/)
    }
  })
}).timeout(120_000)
