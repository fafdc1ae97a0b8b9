import assert from 'node:assert/strict'
import { appendFile, chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type DiffId, digestOf } from '../../registry-client/oci/index.ts'
import { kernel } from '../native/kernel.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { writeContents } from '../testing/write-contents.ts'
import type { LayerDirectory } from '../snapshotter.ts'
import type { LayerBlob } from './layer-record.ts'
import { type Store, openStore } from './store.ts'

const never = new AbortController().signal
const diffId = digestOf('a tar') as string as DiffId

async function blobOf(
  store: Store,
  text: string,
  compression: LayerBlob['compression'],
): Promise<LayerBlob> {
  const digest = await store.blobs.ingestBytes(text, never)
  return { digest, sizeBytes: text.length, compression, engine: undefined }
}

async function contentsFile(store: Store): Promise<string> {
  const path = store.lease.temporaryPath()
  await writeFile(path, 'contents')
  return path
}

describe('layer store', () => {
  it('puts together what is recorded bit by bit', async () => {
    await using place = await temporaryDirectory()
    await using store = await openStore({ path: place.path, kernel }, never)
    assert.equal(await store.layers.get(diffId, never), undefined)
    const gzip = await blobOf(store, 'gzip bytes', 'gzip')
    const zstd = await blobOf(store, 'zstd bytes', 'zstd')
    await store.layers.record(diffId, { blob: gzip, uncompressedSizeBytes: 5 }, never)
    await store.layers.record(diffId, { blob: zstd, contents: await contentsFile(store) }, never)
    const directory = await store.layers.allocateDirectory(never)
    await mkdir(join(directory.path, 'fs'), { recursive: true })
    await store.layers.record(diffId, { directory }, never)
    assert.deepEqual(await store.layers.get(diffId, never), {
      diffId,
      uncompressedSizeBytes: 5,
      blobs: [gzip, zstd],
      contents: join(store.root.layersDir, 'contents', diffId.slice(7)),
      directory,
    })
  })

  it('removes what is damaged, and nothing else', async () => {
    await using place = await temporaryDirectory()
    await using store = await openStore({ path: place.path, kernel }, never)
    const gzip = await blobOf(store, 'gzip bytes', 'gzip')
    const zstd = await blobOf(store, 'zstd bytes', 'zstd')
    const contents = store.lease.temporaryPath()
    await writeContents(contents, [{ type: 'whiteout', path: 'gone' }])
    await store.layers.record(diffId, { blob: gzip, contents }, never)
    await store.layers.record(diffId, { blob: zstd }, never)
    assert.equal(await store.layers.removeDamaged(diffId, never), false)
    const path = (await store.layers.get(diffId, never))?.contents ?? ''
    await appendFile(path, '[]\n')
    await chmod(store.blobs.path(gzip.digest), 0o600)
    await writeFile(store.blobs.path(gzip.digest), 'GZIP bytes')
    assert.equal(await store.layers.removeDamaged(diffId, never), true)
    const left = await store.layers.get(diffId, never)
    assert.deepEqual([left?.blobs, left?.contents], [[zstd], undefined])
    assert.equal(await store.blobs.find(gzip.digest, 100, never), undefined)
    assert.ok((await store.blobs.find(zstd.digest, 100, never)) !== undefined)
  })

  it('says nothing of what is no longer on disk', async () => {
    await using place = await temporaryDirectory()
    await using store = await openStore({ path: place.path, kernel }, never)
    const blob = await blobOf(store, 'gzip bytes', 'gzip')
    const directory = await store.layers.allocateDirectory(never)
    await mkdir(join(directory.path, 'fs'), { recursive: true })
    await store.layers.record(
      diffId,
      { blob, directory, contents: await contentsFile(store) },
      never,
    )
    await rm(store.blobs.path(blob.digest))
    await rm(directory.path, { recursive: true })
    await rm(join(store.root.layersDir, 'contents', diffId.slice(7)))
    const layer = await store.layers.get(diffId, never)
    assert.deepEqual([layer?.blobs, layer?.contents, layer?.directory], [[], undefined, undefined])
  })

  it('loses nothing when several record at once', async () => {
    await using place = await temporaryDirectory()
    const options = { path: place.path, kernel }
    await using one = await openStore(options, never)
    await using two = await openStore(options, never)
    await Promise.all(
      [one, two, one, two].map(async (store, index) => {
        const blob = await blobOf(store, `bytes ${index}`, 'gzip')
        await store.layers.record(diffId, { blob }, never)
      }),
    )
    assert.equal((await one.layers.get(diffId, never))?.blobs.length, 4)
  })

  it('leaves no directory that was not recorded when the store is closed', async () => {
    await using place = await temporaryDirectory()
    const path = join(place.path, 'root')
    {
      await using store = await openStore({ path, kernel }, never)
      const make = async (): Promise<LayerDirectory> => {
        const directory = await store.layers.allocateDirectory(never)
        await mkdir(join(directory.path, 'fs'), { recursive: true })
        return directory
      }
      const [first, second, failed] = [await make(), await make(), await make()]
      await store.layers.record(diffId, { directory: first }, never)
      await store.layers.record(diffId, { directory: second }, never)
      assert.deepEqual(store.layers.unrecorded, [second.path, failed.path])
    }
    assert.equal((await readdir(join(path, 'layers/directories'))).length, 1)
    assert.deepEqual(await readdir(join(path, 'work/trash')), [])
  })

  it('keeps the directory that was recorded first', async () => {
    await using place = await temporaryDirectory()
    await using store = await openStore({ path: place.path, kernel }, never)
    const [first, second] = [
      await store.layers.allocateDirectory(never),
      await store.layers.allocateDirectory(never),
    ]
    for (const { path } of [first, second]) await mkdir(join(path, 'fs'), { recursive: true })
    await store.layers.record(diffId, { directory: first }, never)
    assert.deepEqual(
      (await store.layers.record(diffId, { directory: second }, never)).directory,
      first,
    )
  })

  it('lets one process at a time unpack a layer', async () => {
    await using place = await temporaryDirectory()
    const options = { path: place.path, kernel }
    await using one = await openStore(options, never)
    await using two = await openStore(options, never)
    const order: string[] = []
    const first = await one.layers.lockUnpack(diffId, never)
    const waiting = two.layers.lockUnpack(diffId, never).then(async (lock) => {
      order.push('second')
      await lock[Symbol.asyncDispose]()
    })
    order.push('first')
    await first[Symbol.asyncDispose]()
    await waiting
    assert.deepEqual(order, ['first', 'second'])
    assert.deepEqual(await readdir(join(one.root.workDir, 'locks')), [])
  })

  // The contents file of a record that a crash made worthless may be torn.
  it('does not take over contents from before a crash of the machine', async () => {
    await using place = await temporaryDirectory()
    {
      await using store = await openStore({ path: place.path, kernel, bootId: 'monday' }, never)
      await store.layers.record(diffId, { contents: await contentsFile(store) }, never)
    }
    await using store = await openStore({ path: place.path, kernel, bootId: 'tuesday' }, never)
    await store.layers.record(diffId, { uncompressedSizeBytes: 5 }, never)
    assert.equal((await store.layers.get(diffId, never))?.contents, undefined)
  })
})
