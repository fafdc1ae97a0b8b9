import assert from 'node:assert/strict'
import { chmod, mkdir, open, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { type DiffId, digestOf } from '../../registry-client/oci/index.ts'
import { readContents } from '../layer/contents.ts'
import { kernel } from '../native/kernel.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { writeContents } from '../testing/write-contents.ts'
import { openStore, type Store } from './store.ts'

const never = new AbortController().signal
const RUNS = Number(process.env['TSBUILD_PROPERTY_RUNS'] ?? 15)

interface Note {
  readonly number: number
}

const readNote = (value: unknown): Note | undefined =>
  typeof value === 'object' &&
  value !== null &&
  'number' in value &&
  typeof value.number === 'number'
    ? { number: value.number }
    : undefined

const diffIdOf = (number: number): DiffId => digestOf(`tar ${number}`) as string as DiffId
const bytesOf = (number: number): string => `blob ${number} `.repeat(200)
const notesOf = (store: Store): ReturnType<typeof store.records<Note>> =>
  store.records(join(store.root.cacheDir, 'notes'), readNote)

/** A layer with everything a layer can have, and a record that speaks of it. */
async function putLayer(store: Store, number: number): Promise<void> {
  const bytes = bytesOf(number)
  const digest = await store.blobs.ingestBytes(bytes, never)
  const directory = await store.layers.allocateDirectory(never)
  await mkdir(join(directory.path, 'fs'), { recursive: true })
  await writeFile(join(directory.path, 'fs/file'), bytes)
  const contents = store.lease.temporaryPath()
  await writeContents(contents, [{ type: 'whiteout', path: `gone-${number}` }])
  const blob = {
    digest,
    sizeBytes: bytes.length,
    compression: 'uncompressed',
    engine: 'none',
  } as const
  await store.layers.record(diffIdOf(number), { blob, directory, contents }, never)
  await notesOf(store).put(`note-${number}`, { number })
}

/** What is served of a layer is right, whatever it is; true when anything is. */
async function checkLayer(store: Store, number: number): Promise<boolean> {
  const note = await notesOf(store).get(`note-${number}`)
  assert.ok(note === undefined || note.number === number)
  const layer = await store.layers.get(diffIdOf(number), never)
  for (const { digest } of layer?.blobs ?? []) {
    const bytes = await store.blobs.read(digest, 1e6, never)
    assert.equal(Buffer.from(bytes).toString(), bytesOf(number))
  }
  if (layer?.directory !== undefined) {
    const text = await readFile(join(layer.directory.path, 'fs/file'), 'utf8')
    assert.equal(text, bytesOf(number))
  }
  if (layer?.contents !== undefined) {
    const entries = []
    for await (const batch of readContents(layer.contents)) entries.push(...batch)
    assert.deepEqual(entries, [{ type: 'whiteout', path: `gone-${number}` }])
  }
  return note !== undefined && layer !== undefined
}

async function filesBelow(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && !['format', 'flushed'].includes(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted()
}

type Damage = 'truncate' | 'zero' | 'none'

/** As after a power failure on a filesystem that keeps names before it keeps bytes. */
async function damageFile(path: string, how: Damage): Promise<void> {
  // Blobs are read-only, which holds for everybody but root; a disk asks nobody.
  await chmod(path, 0o600)
  if (how === 'truncate') await truncate(path, 0)
  if (how !== 'zero') return
  const { size } = await stat(path)
  await using file = await open(path, 'r+')
  await file.write(Buffer.alloc(size), 0, size, 0)
}

describe('a state root after a crash of the machine', () => {
  it('serves what was flushed and nothing that is damaged', async function () {
    this.timeout(60_000 + RUNS * 4000)
    const flushedLayers = [0, 1]
    const laterLayers = [2, 3, 4]
    const damages = fc.array(fc.constantFrom<Damage>('truncate', 'zero', 'none'), {
      minLength: 30,
      maxLength: 30,
    })
    const property = fc.asyncProperty(damages, async (damage) => {
      await using place = await temporaryDirectory()
      const path = join(place.path, 'root')
      let flushed = new Set<string>()
      {
        await using store = await openStore({ path, kernel, bootId: 'monday' }, never)
        for (const number of flushedLayers) await putLayer(store, number)
        flushed = new Set(await filesBelow(path))
        // The clock that dates files ticks: what comes now must be dated after the flush.
        await tick(store)
        await store.durability.flush()
        for (const number of laterLayers) await putLayer(store, number)
      }
      const unflushed = (await filesBelow(path)).filter((file) => !flushed.has(file))
      assert.ok(unflushed.length >= laterLayers.length * 4, unflushed.join(' '))
      await Promise.all(
        unflushed.map((file, index) => damageFile(file, damage[index % damage.length] ?? 'none')),
      )
      await using store = await openStore({ path, kernel, bootId: 'tuesday' }, never)
      for (const number of flushedLayers) assert.equal(await checkLayer(store, number), true)
      for (const number of laterLayers) {
        assert.equal(await checkLayer(store, number), false, 'a record nobody confirmed')
        await putLayer(store, number)
        assert.equal(await checkLayer(store, number), true)
      }
    })
    await fc.assert(property, { numRuns: RUNS })
  })

  it('does not take the date of a file for a confirmation when the clock was set back', async () => {
    await using place = await temporaryDirectory()
    const path = join(place.path, 'root')
    {
      await using store = await openStore({ path, kernel, bootId: 'monday' }, never)
      await putLayer(store, 0)
      await store.durability.flush()
    }
    // By a clock that was a year ahead.
    const file = join(path, 'flushed')
    const state: { boots: [string, { fileTimeMs: number }][] } = JSON.parse(
      await readFile(file, 'utf8'),
    )
    for (const [, mark] of state.boots) mark.fileTimeMs += 365 * 24 * 60 * 60 * 1000
    await writeFile(file, JSON.stringify(state))
    {
      await using store = await openStore({ path, kernel, bootId: 'tuesday' }, never)
      assert.equal(await checkLayer(store, 0), true)
      await tick(store)
      await putLayer(store, 1)
    }
    const written = join(path, 'blobs/sha256', digestOf(bytesOf(1)).slice('sha256:'.length))
    await damageFile(written, 'zero')
    await using store = await openStore({ path, kernel, bootId: 'wednesday' }, never)
    assert.equal(await checkLayer(store, 0), true)
    assert.equal(await store.blobs.size(digestOf(bytesOf(1)), never), undefined)
  })

  it('is as good as before when a process of its own flushed it in the background', async function () {
    this.timeout(60_000)
    await using place = await temporaryDirectory()
    const path = join(place.path, 'root')
    const monday = { path, kernel, bootId: 'monday', flushAfterwards: true }
    {
      await using store = await openStore(monday, never)
      await putLayer(store, 1)
    }
    await flushed(path)
    const afterFlush = await stat(join(path, 'flushed'))
    {
      await using store = await openStore(monday, never)
      assert.equal(await checkLayer(store, 1), true)
    }
    assert.deepEqual(
      (await readdir(join(path, 'work'))).filter((name) => name.startsWith('flush-')),
      [],
      'nothing was added, so nothing is flushed again',
    )
    assert.equal((await stat(join(path, 'flushed'))).mtimeMs, afterFlush.mtimeMs)
    await using store = await openStore({ path, kernel, bootId: 'tuesday' }, never)
    assert.equal(await checkLayer(store, 1), true)
  })
})

/** Waits for the confirmation: the flush of a busy disk takes as long as it takes. */
async function flushed(root: string): Promise<void> {
  const isWaiting = async (): Promise<boolean> =>
    (await readdir(join(root, 'work'))).some((name) => name.startsWith('flush-'))
  while (await isWaiting()) await new Promise((resolve) => setImmediate(resolve))
}

/** Until a new file has a later time than the newest one so far. */
async function tick(store: Store): Promise<void> {
  const timeOf = async (): Promise<number> => {
    const path = store.lease.temporaryPath()
    await writeFile(path, '')
    return (await stat(path)).ctimeMs
  }
  const before = await timeOf()
  while ((await timeOf()) === before) await new Promise((resolve) => setImmediate(resolve))
}
