import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { blobFileSink } from '../blob-file.ts'
import type { RegistryClient } from '../client.ts'
import type { Descriptor } from '../oci/index.ts'
import { FakeRegistry } from '../testing/fake-registry.ts'
import {
  noise,
  RecordingSink,
  referenceTo,
  rejectsWith,
  testClient,
} from '../testing/test-client.ts'

const signal = new AbortController().signal
const BYTES = noise(300_000)

describe('fetchBlob', () => {
  let registry: FakeRegistry
  let client: RegistryClient
  let descriptor: Descriptor
  let sink: RecordingSink

  beforeEach(async () => {
    registry = await FakeRegistry.start()
    client = testClient()
    descriptor = registry.repository('app').addBlob(BYTES)
    sink = new RecordingSink()
  })

  afterEach(async () => {
    await client[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
  })

  function fetch(options: { readonly onProgress?: (bytes: number) => void } = {}): Promise<void> {
    return client.fetchBlob(referenceTo(registry, 'app'), descriptor, sink, { signal, ...options })
  }

  it('brings the bytes, reports them, and commits', async () => {
    const progress: number[] = []
    await fetch({ onProgress: (bytes) => progress.push(bytes) })
    assert.equal(sink.ended, 'committed')
    assert.ok(sink.bytes.equals(BYTES))
    assert.equal(progress.at(-1), BYTES.byteLength)
    assert.deepEqual(
      progress,
      progress.toSorted((a, b) => a - b),
    )
  })

  it('goes on with a Range request after a cut', async () => {
    registry.script({ act: { kind: 'cut-answer', afterBytes: 100_000 } })
    await fetch()
    assert.ok(sink.bytes.equals(BYTES))
    assert.equal(sink.ended, 'committed')
    assert.deepEqual(
      registry.requests.map(({ headers }) => headers['range']),
      [undefined, 'bytes=100000-'],
    )
  })

  it('skips what it has when the server ignores Range', async () => {
    registry.script({ act: { kind: 'cut-answer', afterBytes: 100_000 } })
    registry.script({ act: { kind: 'ignore-range' } })
    await fetch()
    assert.ok(sink.bytes.equals(BYTES))
    assert.equal(registry.requests[1]?.headers['range'], 'bytes=100000-')
    assert.equal(registry.requests[1]?.status(), 200)
  })

  it('refuses a 206 that starts behind what it has', async () => {
    registry.script({ act: { kind: 'cut-answer', afterBytes: 1000 } })
    registry.script({
      act: { kind: 'headers', headers: { 'content-range': 'bytes 2000-299999/300000' } },
    })
    await rejectsWith(fetch(), 'bad-response', /another range/)
    assert.equal(sink.ended, 'aborted')
  })

  it('gives up when every try is cut at once', async () => {
    registry.script({ times: 99, act: { kind: 'cut-answer', afterBytes: 10 } })
    await rejectsWith(fetch(), 'registry-unreachable', /connection was cut.*tried 4 times/)
    assert.equal(registry.requests.length, 4)
    assert.equal(sink.ended, 'aborted')
  })

  it('refuses other bytes of the right size', async () => {
    registry.script({ act: { kind: 'body', bytes: noise(BYTES.byteLength, 7) } })
    await rejectsWith(fetch(), 'digest-mismatch', /with digest sha256:\w+ instead of sha256:/)
    assert.equal(sink.ended, 'aborted')
  })

  it('refuses a length that is not that of the descriptor before reading', async () => {
    registry.script({ act: { kind: 'body', bytes: noise(400_000) } })
    await rejectsWith(fetch(), 'size-mismatch', /announces 400000 bytes.*where 300000 are due/)
    assert.equal(sink.bytes.byteLength, 0)
  })

  it('stops a body without length at the first byte too many', async () => {
    descriptor = { ...descriptor, sizeBytes: 1000 }
    registry.script({
      act: {
        kind: 'reply',
        status: 200,
        headers: { 'transfer-encoding': 'chunked' },
        body: 'x'.repeat(5000),
      },
    })
    await rejectsWith(fetch(), 'size-mismatch', /more than the 1000 bytes/)
    assert.equal(sink.ended, 'aborted')
    assert.ok(sink.bytes.byteLength <= 1000)
  })

  it('asks for bytes as they are, and takes no others', async () => {
    await fetch()
    assert.equal(registry.requests[0]?.headers['accept-encoding'], 'identity')
    const packed = gzipSync(BYTES)
    registry.script({ act: { kind: 'body', bytes: packed } })
    sink = new RecordingSink()
    await rejectsWith(fetch(), 'size-mismatch', /announces \d+ bytes.*where 300000 are due/)
  })

  it('does not repeat what the sink refused, and passes its error on', async () => {
    const full = Object.assign(new Error('no space left'), { code: 'ENOSPC' })
    sink.write = () => {
      throw full
    }
    await assert.rejects(fetch(), (error) => error === full)
    assert.equal(registry.requests.length, 1)
    assert.equal(sink.ended, 'aborted')
  })

  it('follows a redirect to storage', async () => {
    await using storage = await FakeRegistry.start()
    storage.repository('any').addBlob(BYTES)
    const location = `http://${storage.host}/v2/any/blobs/${descriptor.digest}?X-Signature=abc`
    registry.script({ act: { kind: 'reply', status: 307, headers: { location } } })
    await fetch()
    assert.ok(sink.bytes.equals(BYTES))
    assert.match(storage.requestLines[0] ?? '', /\?X-Signature=abc$/)
  })

  for (const target of [
    'http://169.254.169.254/latest/meta-data',
    'http://[fe80::1]/x',
    'file:///etc/passwd',
    'http://user:pw@127.0.0.1/x',
  ]) {
    it(`does not follow a redirect to ${target}`, async () => {
      registry.script({ act: { kind: 'reply', status: 307, headers: { location: target } } })
      const error = await rejectsWith(
        fetch(),
        'bad-response',
        /refused to follow|points to|login in it/,
      )
      assert.doesNotMatch(error.message, /user:pw/)
    })
  }

  it('ends a chain of redirects', async () => {
    registry.script({
      times: 99,
      act: { kind: 'reply', status: 307, headers: { location: '/v2/app/blobs/x' } },
    })
    await rejectsWith(fetch(), 'bad-response', /redirected more than 5 times/)
  })

  it('never asks the URLs of a foreign layer', async () => {
    await using foreign = await FakeRegistry.start()
    descriptor = { ...descriptor, urls: [`http://${foreign.host}/layer`] }
    registry.repository('app').blobs.clear()
    await rejectsWith(fetch(), 'not-found', /BLOB_UNKNOWN/)
    assert.deepEqual(foreign.requests, [])
  })

  it('does not bring more than four blobs of one registry at once', async () => {
    const blobs = Array.from({ length: 12 }, (_, index) =>
      registry.repository('app').addBlob(noise(50_000, index + 2)),
    )
    let open = 0
    let openMax = 0
    await Promise.all(
      blobs.map((blob) => {
        let isOpen = false
        const counting = new RecordingSink()
        const write = counting.write.bind(counting)
        counting.write = (chunk) => {
          if (!isOpen) open += 1
          isOpen = true
          openMax = Math.max(openMax, open)
          write(chunk)
        }
        return client
          .fetchBlob(referenceTo(registry, 'app'), blob, counting, { signal })
          .then(() => {
            open -= 1
          })
      }),
    )
    assert.ok(openMax <= 4, `${openMax} at once`)
  })

  it('brings an empty blob', async () => {
    descriptor = registry.repository('app').addBlob(new Uint8Array())
    await fetch()
    assert.equal(sink.ended, 'committed')
  })
})

describe('blobFileSink', () => {
  let directory = ''

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-sink-'))
  })

  afterEach(() => rm(directory, { recursive: true, force: true }))

  it('shows the file under its name only when it is whole, and leaves nothing otherwise', async () => {
    const path = join(directory, 'blob')
    const failed = await blobFileSink(path)
    await failed.write(Buffer.from('half'))
    await failed.abort(new Error('x'))
    assert.deepEqual(await readdir(directory), [])
    const whole = await blobFileSink(path)
    await whole.write(Buffer.from('one '))
    await whole.write(Buffer.from('two'))
    assert.notDeepEqual(await readdir(directory), ['blob'])
    await whole.commit()
    assert.deepEqual(await readdir(directory), ['blob'])
    assert.equal(await readFile(path, 'utf8'), 'one two')
  })
})
