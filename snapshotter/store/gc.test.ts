import assert from 'node:assert/strict'
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, type DiffId, digestOf } from '../../registry-client/oci/index.ts'
import { kernel } from '../native/kernel.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { type GcResult, collectGarbage } from './gc.ts'
import type { GcPolicy, GcRecord } from './gc-policy.ts'
import { type Store, openStore } from './store.ts'

const never = new AbortController().signal
const everything: GcPolicy = { all: true }

interface MadeLayer {
  readonly diffId: DiffId
  readonly digest: Digest
  readonly directory: string
}

/** A layer with a blob of 100 bytes, contents and a directory that counts 1000 bytes. */
async function makeLayer(store: Store, name: string): Promise<MadeLayer> {
  const diffId = digestOf(`tar of ${name}`) as string as DiffId
  const digest = await store.blobs.ingestBytes(name.padEnd(100), never)
  const directory = await store.layers.allocateDirectory(never)
  await mkdir(join(directory.path, 'fs/etc'), { recursive: true })
  const contents = store.lease.temporaryPath()
  await writeFile(contents, '')
  const blob = { digest, sizeBytes: 100, compression: 'gzip', engine: undefined } as const
  await store.layers.record(
    diffId,
    { blob, contents, directory, uncompressedSizeBytes: 1000 },
    never,
  )
  return { diffId, digest, directory: directory.path }
}

function record(
  name: string,
  layers: readonly MadeLayer[],
  change: Partial<GcRecord> = {},
): GcRecord {
  return {
    name,
    lastUsedMs: 1000,
    isPinned: false,
    blobs: [],
    layers: layers.map(({ diffId }) => diffId),
    trees: [],
    sizeBytes: 0,
    drop: () => Promise.resolve(),
    ...change,
  }
}

async function collect(
  path: string,
  records: readonly GcRecord[],
  ...policies: GcPolicy[]
): Promise<GcResult> {
  await using store = await openStore({ path, kernel }, never)
  const source = {
    async *records(): AsyncGenerator<GcRecord> {
      yield* records
    },
  }
  return await collectGarbage({ store, kernel, sources: [source], policies }, never)
}

/** Two layers of a process that has ended. */
async function withLayers(
  work: (path: string, a: MadeLayer, b: MadeLayer) => Promise<void>,
): Promise<void> {
  await using place = await temporaryDirectory()
  let made: MadeLayer[] = []
  {
    await using store = await openStore({ path: place.path, kernel }, never)
    made = [await makeLayer(store, 'a'), await makeLayer(store, 'b')]
  }
  const [a, b] = made
  assert.ok(a !== undefined && b !== undefined)
  await work(place.path, a, b)
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined
}

describe('garbage collection', () => {
  it('takes what no record refers to, with everything it consists of', async () => {
    await withLayers(async (path, a, b) => {
      const result = await collect(path, [record('image', [a], { isPinned: true })])
      assert.deepEqual([result.removedLayers, result.removedBlobs], [[b.diffId], [b.digest]])
      assert.equal(result.reclaimedBytes, 1100)
      assert.deepEqual(await readdir(join(path, 'layers/records')), [a.diffId.slice(7)])
      assert.deepEqual(await readdir(join(path, 'layers/contents')), [a.diffId.slice(7)])
      assert.deepEqual([await isThere(a.directory), await isThere(b.directory)], [true, false])
      assert.deepEqual(await readdir(join(path, 'work/trash')), [])
    })
  })

  it('leaves what a running process made or asked for', async () => {
    await withLayers(async (path, a, b) => {
      await using running = await openStore({ path, kernel }, never)
      await running.layers.get(a.diffId, never)
      const fresh = await running.layers.allocateDirectory(never)
      await mkdir(fresh.path)
      await running.lease.hold(['record:mount'], never)
      const result = await collect(path, [record('mount', [])], everything)
      assert.deepEqual(result.removedLayers, [b.diffId])
      assert.deepEqual(result.droppedRecords, [])
      assert.ok(await isThere(fresh.path))
      assert.equal((await running.layers.get(a.diffId, never))?.blobs.length, 1)
    })
  })

  it('drops records and their own directories, never pinned ones', async () => {
    await withLayers(async (path, a, b) => {
      const tree = join(path, 'mounts/m1')
      await mkdir(tree)
      const dropped: string[] = []
      const mount = record('mount', [], {
        trees: [tree],
        sizeBytes: 50,
        drop: async () => void dropped.push('mount'),
      })
      const result = await collect(
        path,
        [record('image', [a], { isPinned: true }), record('step', [b]), mount],
        everything,
      )
      assert.deepEqual([...result.droppedRecords].sort(), ['mount', 'step'])
      assert.deepEqual(dropped, ['mount'])
      assert.deepEqual(result.removedLayers, [b.diffId])
      assert.equal(result.reclaimedBytes, 1150)
      assert.equal(await isThere(tree), false)
    })
  })

  it('leaves without `all` the records whose layers an image shares', async () => {
    await withLayers(async (path, a, b) => {
      const records = [
        record('image', [a], { isPinned: true }),
        record('shared', [a]),
        record('own', [b]),
      ]
      assert.deepEqual((await collect(path, records, { all: false })).droppedRecords, ['own'])
      assert.deepEqual([...(await collect(path, records, everything)).droppedRecords].sort(), [
        'own',
        'shared',
      ])
    })
  })

  it('keeps a way to what an image shares, and no layer for it', async () => {
    await withLayers(async (path, a, b) => {
      const image = record('image', [a], { isPinned: true })
      const ways = [a, b].map(({ diffId }, index) =>
        record(`way ${index}`, [], { leadsTo: [diffId] }),
      )
      const kept = await collect(path, [image, ...ways])
      assert.deepEqual(kept.removedLayers, [b.diffId])
      const result = await collect(path, [image, ...ways], { all: false })
      assert.deepEqual(result.droppedRecords, ['way 1'])
    })
  })

  it('takes what one policy after another is about, each of what is left', async () => {
    const named = { all: false, takes: ({ name }: GcRecord) => name === 'new' }
    const large = { all: true, keepBytes: 1100 }
    for (const [first, second, ...expected] of [
      [large, named, 'old', 'new'],
      [named, large, 'new'],
    ] as const) {
      await withLayers(async (path, a, b) => {
        const records = [record('old', [a], { lastUsedMs: 10 }), record('new', [b])]
        const { droppedRecords } = await collect(path, records, first, second)
        assert.deepEqual(droppedRecords, expected)
      })
    }
  })

  it('drops only what was not used since a time', async () => {
    await withLayers(async (path, a, b) => {
      const records = [
        record('old', [a], { lastUsedMs: 10 }),
        record('new', [b], { lastUsedMs: 30 }),
      ]
      const result = await collect(path, records, { all: true, usedBeforeMs: 20 })
      assert.deepEqual([result.droppedRecords, result.removedLayers], [['old'], [a.diffId]])
    })
  })

  it('drops the least recently used until the rest fits', async () => {
    await withLayers(async (path, a, b) => {
      const records = [
        record('newest', [b], { lastUsedMs: 30 }),
        record('oldest', [a], { lastUsedMs: 10 }),
        record('older', [a], { lastUsedMs: 20 }),
      ]
      assert.deepEqual(
        (await collect(path, records, { all: true, keepBytes: 2200 })).droppedRecords,
        [],
      )
      const result = await collect(path, records, { all: true, keepBytes: 1500 })
      assert.deepEqual(result.droppedRecords, ['oldest', 'older'])
      assert.equal(result.reclaimedBytes, 1100)
    })
  })

  it('hands over what only a worker can remove', async () => {
    await withLayers(async (path) => {
      await using store = await openStore({ path, kernel }, never)
      const denied = Object.assign(new Error('denied'), { code: 'EACCES' })
      const stubborn: string[] = []
      const options = {
        store,
        kernel: { ...kernel, removeTree: () => Promise.reject(denied) },
        sources: [],
        policies: [],
        removeStubborn: async (paths: readonly string[]) => void stubborn.push(...paths),
      }
      await collectGarbage(options, never)
      assert.equal(stubborn.length, 2)
      assert.deepEqual(
        new Set(await readdir(join(path, 'work/trash'))),
        new Set(stubborn.map((item) => item.slice(-16))),
      )
    })
  })
})
