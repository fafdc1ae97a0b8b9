import assert from 'node:assert/strict'
import { mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { collectGarbage, kernel, openStore, type Store } from '../../snapshotter/index.ts'
import { temporaryDirectory } from '../../snapshotter/testing/temporary-directory.ts'
import { type CacheMountRequest, CacheMounts, mountRecordName } from './cache-mounts.ts'

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

/** Names of the records that a collection of everything drops, when there is just this mount. */
async function prune(path: string, directory: string): Promise<readonly string[]> {
  await using store = await openStore({ path, kernel }, signal)
  const record = {
    ...{ lastUsedMs: 0, isPinned: false, blobs: [], layers: [], sizeBytes: 0 },
    name: mountRecordName(basename(directory)),
    trees: [directory],
    drop: async () => {},
  }
  const source = {
    async *records() {
      yield record
    },
  }
  const options = { store, kernel, sources: [source], policies: [{ all: true }] }
  return (await collectGarbage(options, signal)).droppedRecords
}

describe('CacheMounts', () => {
  let place: Awaited<ReturnType<typeof temporaryDirectory>>
  let stores: Store[]
  /** Those of another process. */
  const open = async (): Promise<CacheMounts> => {
    const store = await openStore({ path: join(place.path, 'root'), kernel }, signal)
    stores.push(store)
    return new CacheMounts(store)
  }

  beforeEach(async () => {
    place = await temporaryDirectory()
    stores = []
  })

  afterEach(async () => {
    for (const store of stores) await store[Symbol.asyncDispose]()
    await place[Symbol.asyncDispose]()
  })

  it('gives the same directory to every build that names the id', async () => {
    const first = await (await open()).acquire(request(), signal)
    await writeFile(join(first.directory, 'f'), '1')
    const second = await (await open()).acquire(request(), signal)
    assert.deepEqual(await readdir(second.directory), ['f'])
    const other = await (await open()).acquire(request({ cacheId: '/other' }), signal)
    assert.deepEqual(await readdir(other.directory), [])
    await Promise.all([first, second, other].map((mount) => mount[Symbol.asyncDispose]()))
  })

  it('makes a second holder of a locked cache wait', async () => {
    const first = await (await open()).acquire(request({ sharing: 'locked' }), signal)
    let isOpen = false
    const second = (await open()).acquire(request({ sharing: 'locked' }), signal).then((mount) => {
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
    const first = await (await open()).acquire(request({ sharing: 'private' }), signal)
    const second = await (await open()).acquire(request({ sharing: 'private' }), signal)
    assert.notEqual(second.directory, first.directory)
    await first[Symbol.asyncDispose]()
    const third = await (await open()).acquire(request({ sharing: 'private' }), signal)
    assert.equal(third.directory, first.directory)
    await Promise.all([second, third].map((mount) => mount[Symbol.asyncDispose]()))
  })

  it('empties a cache for a step that ignores the cache, but not what the same build wrote', async () => {
    const old = await (await open()).acquire(request(), signal)
    await writeFile(join(old.directory, 'old'), '')
    await old[Symbol.asyncDispose]()
    const build = await open()
    const first = await build.acquire(request({ isFresh: true }), signal)
    assert.deepEqual(await readdir(first.directory), [])
    await writeFile(join(first.directory, 'new'), '')
    await first[Symbol.asyncDispose]()
    const second = await build.acquire(request({ isFresh: true }), signal)
    assert.deepEqual(await readdir(second.directory), ['new'])
    await second[Symbol.asyncDispose]()
  })

  it('is not emptied while another step has it mounted', async () => {
    const used = await (await open()).acquire(request(), signal)
    await writeFile(join(used.directory, 'f'), '')
    const fresh = await (await open()).acquire(request({ isFresh: true }), signal)
    assert.deepEqual(await readdir(fresh.directory), ['f'])
    await Promise.all([used, fresh].map((mount) => mount[Symbol.asyncDispose]()))
  })

  it('counts as used when it is opened, and stays while the process that used it lives', async () => {
    const first = await (await open()).acquire(request(), signal)
    await first[Symbol.asyncDispose]()
    const directory = dirname(first.directory)
    await utimes(directory, 1, 1)
    const second = await (await open()).acquire(request(), signal)
    await second[Symbol.asyncDispose]()
    assert.ok((await stat(directory)).mtimeMs > 1000)
    assert.deepEqual(await prune(join(place.path, 'root'), directory), [])
    for (const store of stores.splice(0)) await store[Symbol.asyncDispose]()
    assert.equal((await prune(join(place.path, 'root'), directory)).length, 1)
    await assert.rejects(stat(directory), { code: 'ENOENT' })
  })

  it('gives the lock back when the cache cannot be made', async () => {
    const failing = request({
      sharing: 'locked',
      create: async () => {
        throw new Error('no space left')
      },
    })
    await assert.rejects((await open()).acquire(failing, signal), /no space left/)
    const mount = await (await open()).acquire(request({ sharing: 'locked' }), signal)
    await mount[Symbol.asyncDispose]()
  })
})
