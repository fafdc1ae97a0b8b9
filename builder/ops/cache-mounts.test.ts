import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CacheMounts, type CacheMountRequest, type MountLocks } from './cache-mounts.ts'

/** Locks of one process: shared ones count, an exclusive one excludes all. */
class MemoryLocks implements MountLocks {
  readonly #held = new Map<string, { mode: 'shared' | 'exclusive'; count: number }>()
  readonly #waiting: (() => void)[] = []

  async acquire(
    name: string,
    _signal: AbortSignal,
    mode: 'shared' | 'exclusive',
  ): Promise<AsyncDisposable> {
    for (;;) {
      const lock = await this.tryAcquire(name, mode)
      if (lock !== undefined) {
        return lock
      }
      await new Promise<void>((wake) => this.#waiting.push(wake))
    }
  }

  async tryAcquire(
    name: string,
    mode: 'shared' | 'exclusive',
  ): Promise<AsyncDisposable | undefined> {
    const held = this.#held.get(name)
    if (held !== undefined && (mode === 'exclusive' || held.mode === 'exclusive')) {
      return undefined
    }
    const lock = held ?? { mode, count: 0 }
    lock.count += 1
    this.#held.set(name, lock)
    return {
      [Symbol.asyncDispose]: async () => {
        lock.count -= 1
        if (lock.count === 0) {
          this.#held.delete(name)
        }
        for (const wake of this.#waiting.splice(0)) {
          wake()
        }
      },
    }
  }
}

const signal = new AbortController().signal

function request(changes: Partial<CacheMountRequest> = {}): CacheMountRequest {
  return {
    cacheId: '/root/.npm',
    sharing: 'shared',
    initial: undefined,
    isFresh: false,
    create: async (directory) => void (await mkdir(join(directory, 'fs'), { recursive: true })),
    ...changes,
  }
}

describe('CacheMounts', () => {
  let root = ''
  const locks = new MemoryLocks()
  const open = (): CacheMounts =>
    new CacheMounts(root, locks, (path) => rm(path, { recursive: true, force: true }))

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'tsbuild-mounts-'))
  })

  afterEach(async () => {
    await rm(root, { recursive: true })
  })

  it('gives the same directory to every build that names the id', async () => {
    const first = await open().acquire(request(), signal)
    await writeFile(join(first.directory, 'f'), '1')
    const second = await open().acquire(request(), signal)
    assert.deepEqual(await readdir(second.directory), ['f'])
    const other = await open().acquire(request({ cacheId: '/other' }), signal)
    assert.deepEqual(await readdir(other.directory), [])
    await Promise.all([first, second, other].map((mount) => mount[Symbol.asyncDispose]()))
  })

  it('makes a second holder of a locked cache wait', async () => {
    const first = await open().acquire(request({ sharing: 'locked' }), signal)
    let isOpen = false
    const second = open()
      .acquire(request({ sharing: 'locked' }), signal)
      .then((mount) => {
        isOpen = true
        return mount
      })
    await new Promise((turn) => setImmediate(turn))
    assert.equal(isOpen, false)
    await first[Symbol.asyncDispose]()
    await (await second)[Symbol.asyncDispose]()
    assert.equal(isOpen, true)
  })

  it('gives a second holder of a private cache another directory', async () => {
    const first = await open().acquire(request({ sharing: 'private' }), signal)
    const second = await open().acquire(request({ sharing: 'private' }), signal)
    assert.notEqual(second.directory, first.directory)
    await first[Symbol.asyncDispose]()
    const third = await open().acquire(request({ sharing: 'private' }), signal)
    assert.equal(third.directory, first.directory)
    await Promise.all([second, third].map((mount) => mount[Symbol.asyncDispose]()))
  })

  it('empties a cache for a step that ignores the cache, but not what the same build wrote', async () => {
    const old = await open().acquire(request(), signal)
    await writeFile(join(old.directory, 'old'), '')
    await old[Symbol.asyncDispose]()
    const build = open()
    const first = await build.acquire(request({ isFresh: true }), signal)
    assert.deepEqual(await readdir(first.directory), [])
    await writeFile(join(first.directory, 'new'), '')
    await first[Symbol.asyncDispose]()
    const second = await build.acquire(request({ isFresh: true }), signal)
    assert.deepEqual(await readdir(second.directory), ['new'])
    await second[Symbol.asyncDispose]()
  })

  it('gives the lock back when the cache cannot be made', async () => {
    const failing = request({
      sharing: 'locked',
      create: async () => {
        throw new Error('no space left')
      },
    })
    await assert.rejects(open().acquire(failing, signal), /no space left/)
    const mount = await open().acquire(request({ sharing: 'locked' }), signal)
    await mount[Symbol.asyncDispose]()
  })
})
