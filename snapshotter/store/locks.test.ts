import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { kernel } from '../native/kernel.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { NamedLocks } from './locks.ts'

const never = new AbortController().signal

describe('named locks', () => {
  it('let one holder in at a time', async () => {
    await using place = await temporaryDirectory()
    let inside = 0
    let entered = 0
    const work = async (): Promise<void> => {
      // Each has its own file descriptor, as another process would.
      const locks = new NamedLocks(kernel, place.path)
      await using _lock = await locks.acquire('layer-1', never)
      inside += 1
      entered += 1
      assert.equal(inside, 1)
      await readdir(place.path)
      inside -= 1
    }
    await Promise.all(Array.from({ length: 10 }, work))
    assert.equal(entered, 10)
  })

  it('leave no file behind', async () => {
    await using place = await temporaryDirectory()
    const locks = new NamedLocks(kernel, place.path)
    const lock = await locks.acquire('a', never)
    assert.deepEqual(await readdir(place.path), ['a'])
    await lock[Symbol.asyncDispose]()
    await lock[Symbol.asyncDispose]()
    assert.deepEqual(await readdir(place.path), [])
  })

  it('that are shared leave no file behind either, when the last holder goes', async () => {
    await using place = await temporaryDirectory()
    const locks = new NamedLocks(kernel, place.path)
    const one = await locks.acquire('a', never, 'shared')
    const two = await locks.acquire('a', never, 'shared')
    await one[Symbol.asyncDispose]()
    assert.deepEqual(await readdir(place.path), ['a'])
    assert.equal(await locks.tryAcquire('a'), undefined)
    await two[Symbol.asyncDispose]()
    assert.deepEqual(await readdir(place.path), [])
  })

  it('that a killed holder left are removed, those that are held stay', async () => {
    await using place = await temporaryDirectory()
    const locks = new NamedLocks(kernel, place.path)
    await writeFile(join(place.path, 'left'), '')
    await using _held = await locks.acquire('held', never)
    await locks.removeFree()
    assert.deepEqual(await readdir(place.path), ['held'])
  })

  it('are shared by those who ask for that', async () => {
    await using place = await temporaryDirectory()
    const locks = new NamedLocks(kernel, place.path)
    await using _one = await locks.acquire('a', never, 'shared')
    await using _two = await locks.acquire('a', never, 'shared')
    assert.equal(await locks.tryAcquire('a'), undefined)
    await using other = await locks.tryAcquire('b')
    assert.notEqual(other, undefined)
  })

  it('stop waiting when the signal says so', async () => {
    await using place = await temporaryDirectory()
    const locks = new NamedLocks(kernel, place.path)
    await using _lock = await locks.acquire('a', never)
    const abort = new AbortController()
    const waiting = locks.acquire('a', abort.signal)
    abort.abort(new Error('interrupted'))
    await assert.rejects(waiting, /interrupted/)
  })

  it('have names that are plain file names', async () => {
    await using place = await temporaryDirectory()
    const locks = new NamedLocks(kernel, place.path)
    for (const name of ['../a', '', '.a', 'A', 'a/b', 'a'.repeat(201)]) {
      await assert.rejects(locks.acquire(name, never), { code: 'name-invalid' })
    }
  })
})
