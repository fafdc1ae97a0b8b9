import assert from 'node:assert/strict'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { kernel } from '../native/kernel.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { closeGate, isAlive, listLeases, readHolds } from './leases.ts'
import { openStore } from './store.ts'

const never = new AbortController().signal

describe('leases', () => {
  it('say what a living process holds, each thing once', async () => {
    await using place = await temporaryDirectory()
    await using store = await openStore({ path: place.path, kernel }, never)
    await store.lease.hold(['record:a', 'record:b'], never)
    await store.lease.hold(['record:b', 'record:c'], never)
    const [lease, ...others] = await listLeases(store.root)
    assert.ok(lease !== undefined && others.length === 0)
    assert.equal(await isAlive(kernel, lease), true)
    assert.deepEqual(await readHolds(lease), ['record:a', 'record:b', 'record:c'])
  })

  it('let nobody take a hold while garbage is looked for', async () => {
    await using place = await temporaryDirectory()
    await using store = await openStore({ path: place.path, kernel }, never)
    const gate = await closeGate(store.root, kernel, never)
    let isHeld = false
    const holding = store.lease.hold(['record:a'], never).then(() => {
      isHeld = true
    })
    await assert.rejects(store.lease.hold(['record:b'], AbortSignal.timeout(20)), {
      name: 'TimeoutError',
    })
    assert.equal(isHeld, false)
    await gate[Symbol.asyncDispose]()
    await holding
    assert.equal(isHeld, true)
  })

  it('end with their directory and what is in it', async () => {
    await using place = await temporaryDirectory()
    const store = await openStore({ path: place.path, kernel }, never)
    await mkdir(store.lease.temporaryPath())
    await writeFile(join(store.lease.directory, 'half-done'), '')
    await store[Symbol.asyncDispose]()
    await store[Symbol.asyncDispose]()
    assert.deepEqual((await readdir(store.root.workDir)).sort(), ['gate', 'locks', 'trash'])
    assert.deepEqual(await readdir(join(store.root.workDir, 'trash')), [])
  })
})
