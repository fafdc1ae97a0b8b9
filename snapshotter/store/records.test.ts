import assert from 'node:assert/strict'
import { readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { kernel } from '../native/kernel.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import type { RecordStore } from './records.ts'
import { type Store, openStore } from './store.ts'

const never = new AbortController().signal

interface Fruit {
  readonly fruit: string
}

function readFruit(value: unknown): Fruit | undefined {
  if (typeof value !== 'object' || value === null || !('fruit' in value)) return undefined
  return typeof value.fruit === 'string' ? { fruit: value.fruit } : undefined
}

function fruits(store: Store): RecordStore<Fruit> {
  return store.records(join(store.root.cacheDir, 'fruits'), readFruit)
}

describe('record store', () => {
  it('gives back what was put last, to every process', async () => {
    await using place = await temporaryDirectory()
    const options = { path: place.path, kernel }
    await using one = await openStore(options, never)
    await using two = await openStore(options, never)
    assert.equal(await fruits(one).get('a'), undefined)
    assert.deepEqual(await fruits(one).names(), [])
    await fruits(one).put('a', { fruit: 'apple' })
    await fruits(two).put('a', { fruit: 'pear' })
    assert.deepEqual(await fruits(one).get('a'), { fruit: 'pear' })
    assert.deepEqual(await fruits(one).names(), ['a'])
    await fruits(two).remove('a')
    assert.equal(await fruits(one).get('a'), undefined)
  })

  it('takes a damaged record for absent and removes it', async () => {
    await using place = await temporaryDirectory()
    await using store = await openStore({ path: place.path, kernel }, never)
    const records = fruits(store)
    await records.put('a', { fruit: 'apple' })
    const path = join(store.root.cacheDir, 'fruits/a')
    const good = await readFile(path, 'utf8')
    for (const damaged of [
      '',
      good.slice(0, 20),
      good.replace('"fruit"', '"stone"'),
      'null',
      '\0'.repeat(good.length),
    ]) {
      await writeFile(path, damaged)
      assert.equal(await records.get('a'), undefined, damaged)
      assert.deepEqual(await records.names(), [])
    }
    assert.deepEqual((await readdir(store.lease.directory)).sort(), ['holds', 'lease'])
  })

  it('keeps when a record was last used', async () => {
    await using place = await temporaryDirectory()
    await using store = await openStore({ path: place.path, kernel }, never)
    const records = fruits(store)
    assert.equal(await records.lastUsedMs('a'), undefined)
    await records.touch('a')
    await records.put('a', { fruit: 'apple' })
    // The kernel's times are finer than the milliseconds of a touch.
    const before = Math.floor((await records.lastUsedMs('a')) ?? 0)
    await records.touch('a')
    assert.ok(((await records.lastUsedMs('a')) ?? 0) >= before && before > 0)
  })

  it('refuses names that are not plain file names', async () => {
    await using place = await temporaryDirectory()
    await using store = await openStore({ path: place.path, kernel }, never)
    await assert.rejects(fruits(store).put('../images/x', { fruit: 'apple' }), {
      code: 'name-invalid',
    })
  })
})

describe('a restart of the machine', () => {
  it('drops records that nothing confirmed', async () => {
    await using place = await temporaryDirectory()
    const options = { path: place.path, kernel }
    {
      await using store = await openStore({ ...options, bootId: 'monday' }, never)
      await fruits(store).put('early', { fruit: 'apple' })
      await store.durability.flush()
      await fruits(store).put('late', { fruit: 'pear' })
      assert.deepEqual(await fruits(store).get('late'), { fruit: 'pear' })
    }
    await using store = await openStore({ ...options, bootId: 'tuesday' }, never)
    assert.deepEqual(await fruits(store).get('early'), { fruit: 'apple' })
    assert.equal(await fruits(store).get('late'), undefined)
    assert.deepEqual(await fruits(store).names(), ['early'])
  })

  it('verifies blobs that nothing confirmed before they are used', async () => {
    await using place = await temporaryDirectory()
    const options = { path: place.path, kernel }
    const [good, torn] = ['good bytes', 'torn bytes']
    let digests: Awaited<ReturnType<Store['blobs']['ingestBytes']>>[] = []
    {
      await using store = await openStore({ ...options, bootId: 'monday' }, never)
      digests = [
        await store.blobs.ingestBytes(good, never),
        await store.blobs.ingestBytes(torn, never),
      ]
    }
    await using store = await openStore({ ...options, bootId: 'tuesday' }, never)
    assert.deepEqual(await readdir(store.root.blobsDir), [])
    const [goodDigest, tornDigest] = digests
    assert.ok(goodDigest !== undefined && tornDigest !== undefined)
    const set = join(place.path, 'blobs/unverified', tornDigest.slice('sha256:'.length))
    await rm(set)
    await writeFile(set, 'torn\0\0\0\0\0\0')
    assert.equal(await store.blobs.size(goodDigest, never), good.length)
    assert.equal(await store.blobs.size(tornDigest, never), undefined)
    assert.deepEqual(await readdir(join(place.path, 'blobs/unverified')), [])
  })
})
