import assert from 'node:assert/strict'
import { chmod, readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { type Digest, digestHex, digestOf } from '../../registry-client/oci/index.ts'
import type { BlobStore } from '../store/blobs.ts'

/** A blob store in a directory of the test's own. */
export interface BlobStoreFixture extends AsyncDisposable {
  readonly blobs: BlobStore
  /** Where blobs have their final names. */
  readonly blobsDir: string
  /** Where unfinished ones are. */
  readonly workDir: string
  /** A second opening of the same store, as another process has. */
  another(): Promise<BlobStore>
}

const never = new AbortController().signal
const bytes = Buffer.from('the bytes of a layer')
const digest = digestOf(bytes)
const expected = { digest, sizeBytes: bytes.length }

/** What every blob store promises. Call it in a file of tests with a way to make one. */
export function blobStoreSuite(name: string, open: () => Promise<BlobStoreFixture>): void {
  const missing = digestOf('nothing')

  describe(`blob store contract: ${name}`, () => {
    it('stores a stream under its digest, whole, read-only and readable again', async () => {
      await using fixture = await open()
      const { blobs } = fixture
      assert.equal(await blobs.has(expected, never), false)
      assert.equal(await blobs.ingest(pieces(), expected, never), bytes.length)
      assert.equal(await blobs.has(expected, never), true)
      assert.equal(await blobs.size(digest, never), bytes.length)
      assert.deepEqual(await buffer(await blobs.stream(digest, never)), bytes)
      assert.deepEqual(Buffer.from(await blobs.read(digest, 100, never)), bytes)
      assert.equal((await stat(blobs.path(digest))).mode & 0o777, 0o444)
      assert.deepEqual(await blobs.digests(), [digest])
    })

    it('stores small bytes and files, and says the digest', async () => {
      await using fixture = await open()
      const { blobs } = fixture
      const config: Digest = await blobs.ingestBytes('{}', never)
      assert.equal(config, digestOf('{}'))
      const file = join(fixture.workDir, 'source')
      await writeFile(file, bytes)
      await blobs.ingest(file, { digest, sizeBytes: undefined }, never)
      assert.deepEqual(new Set(await blobs.digests()), new Set([config, digest]))
    })

    it('refuses other bytes than announced and keeps nothing of them', async () => {
      await using fixture = await open()
      const before = await readdir(fixture.workDir)
      for (const wrong of [
        { digest: missing, sizeBytes: bytes.length },
        { digest, sizeBytes: bytes.length + 1 },
        { digest, sizeBytes: bytes.length - 1 },
      ]) {
        await assert.rejects(fixture.blobs.ingest(pieces(), wrong, never), {
          code: 'blob-mismatch',
        })
      }
      assert.deepEqual(await readdir(fixture.blobsDir), [])
      assert.deepEqual(await readdir(fixture.workDir), before)
    })

    it('stops reading an endless source at the first byte too many', async () => {
      await using fixture = await open()
      let served = 0
      const endless = (async function* () {
        for (;;) {
          served += 1
          yield Buffer.alloc(10)
        }
      })()
      await assert.rejects(
        fixture.blobs.ingest(endless, { digest, sizeBytes: 25 }, never),
        /more than the 25 bytes/,
      )
      assert.equal(served, 3)
    })

    it('keeps nothing when the source breaks or the build is interrupted', async () => {
      await using fixture = await open()
      const before = await readdir(fixture.workDir)
      const broken = (async function* () {
        yield bytes.subarray(0, 5)
        throw new Error('connection reset')
      })()
      await assert.rejects(fixture.blobs.ingest(broken, expected, never), /connection reset/)
      await assert.rejects(
        fixture.blobs.ingest(pieces(), expected, AbortSignal.abort(new Error('stop'))),
        /stop/,
      )
      assert.deepEqual(await readdir(fixture.blobsDir), [])
      assert.deepEqual(await readdir(fixture.workDir), before)
    })

    it('takes several writers of one digest', async () => {
      await using fixture = await open()
      const other = await fixture.another()
      const stores = [fixture.blobs, other, fixture.blobs, other]
      await Promise.all(stores.map((blobs) => blobs.ingest(pieces(), expected, never)))
      assert.deepEqual(await readFile(other.path(digest)), bytes)
    })

    it('adopts a finished file, and only one of the right size', async () => {
      await using fixture = await open()
      const file = join(fixture.workDir, 'packed')
      await writeFile(file, bytes)
      await assert.rejects(fixture.blobs.adopt(file, { digest, sizeBytes: 3 }, never), {
        code: 'blob-mismatch',
      })
      await fixture.blobs.adopt(file, expected, never)
      assert.deepEqual(await readdir(fixture.blobsDir), [digestHex(digest)])
    })

    it('notices bytes that changed on disk, says so and removes them', async () => {
      await using fixture = await open()
      const { blobs } = fixture
      for (const use of [
        () => blobs.read(digest, 100, never),
        async () => buffer(await blobs.stream(digest, never)),
      ]) {
        await blobs.ingest(pieces(), expected, never)
        await chmod(blobs.path(digest), 0o644)
        await writeFile(blobs.path(digest), 'other bytes of a lay')
        await assert.rejects(use(), { code: 'blob-corrupt' })
        assert.equal(await blobs.size(digest, never), undefined)
      }
    })

    it('takes a blob of another size for absent', async () => {
      await using fixture = await open()
      const { blobs } = fixture
      await blobs.ingest(pieces(), expected, never)
      await chmod(blobs.path(digest), 0o644)
      await writeFile(blobs.path(digest), '')
      assert.equal(await blobs.has(expected, never), false)
      assert.deepEqual(await readdir(fixture.blobsDir), [])
    })

    it('does not believe an announced size over the digest', async () => {
      await using fixture = await open()
      await fixture.blobs.ingest(pieces(), expected, never)
      assert.equal(await fixture.blobs.has({ digest, sizeBytes: 1 }, never), false)
      assert.equal(await fixture.blobs.has(expected, never), true)
    })

    it('says what is missing or too large', async () => {
      await using fixture = await open()
      await assert.rejects(fixture.blobs.read(missing, 10, never), { code: 'blob-missing' })
      await assert.rejects(fixture.blobs.stream(missing, never), { code: 'blob-missing' })
      await fixture.blobs.ingest(pieces(), expected, never)
      await assert.rejects(fixture.blobs.read(digest, bytes.length - 1, never), {
        code: 'blob-too-large',
      })
    })
  })
}

function pieces(): Readable {
  return Readable.from([bytes.subarray(0, 7), bytes.subarray(7)], { objectMode: false })
}
