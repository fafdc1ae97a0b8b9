import assert from 'node:assert/strict'
import type { GrowingSource } from '../blob-stream.ts'
import type { RegistryClient } from '../client.ts'
import { FakeRegistry } from '../testing/fake-registry.ts'
import {
  MemorySource,
  noise,
  referenceTo,
  rejectsWith,
  testClient,
} from '../testing/test-client.ts'
import type { BegunUpload, BlobPushResult } from './blob.ts'

const BYTES = noise(3_000_000)

/** A blob of which the first part is there and the rest comes when the test says so. */
class GrowingBytes implements GrowingSource {
  /** Resolves when somebody has taken the first part. */
  readonly taken: Promise<void>
  readonly #rest: Promise<void>
  readonly #bytes: Uint8Array
  #take: () => void = () => undefined
  #grow: () => void = () => undefined
  #fail: (error: Error) => void = () => undefined

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.taken = new Promise((resolve) => {
      this.#take = resolve
    })
    this.#rest = new Promise((resolve, reject) => {
      this.#grow = resolve
      this.#fail = reject
    })
    this.#rest.catch(() => undefined)
  }

  async *open(signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const half = this.#bytes.byteLength / 2
    yield this.#bytes.subarray(0, half)
    this.#take()
    await Promise.race([
      this.#rest,
      new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
      ),
    ])
    yield this.#bytes.subarray(half)
  }

  end(): void {
    this.#grow()
  }

  fail(): void {
    this.#fail(new Error('the packer failed'))
  }
}

describe('EarlyUpload', () => {
  let registry: FakeRegistry
  let client: RegistryClient
  let growing: GrowingBytes
  let source: MemorySource
  let stop: AbortController

  beforeEach(async () => {
    registry = await FakeRegistry.start()
    client = testClient()
    growing = new GrowingBytes(BYTES)
    source = new MemorySource(BYTES)
    stop = new AbortController()
  })

  afterEach(async () => {
    await client[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
  })

  function begin(bytes: GrowingSource = growing): BegunUpload {
    return client.beginBlob(referenceTo(registry, 'app'), bytes, { signal: stop.signal })
  }

  function push(begun: BegunUpload): Promise<BlobPushResult> {
    const { signal } = stop
    return client.pushBlob(referenceTo(registry, 'app'), source, { signal, begun })
  }

  function assertStored(): void {
    const stored = registry.repository('app').blobs.get(source.descriptor.digest)
    assert.ok(stored !== undefined && Buffer.from(stored).equals(BYTES))
    assert.equal(registry.uploads.openCount, 0)
  }

  function methods(): string[] {
    return registry.requests.map(({ method }) => method)
  }

  it('sends what there is, then the rest, and ends the session when the digest is known', async () => {
    const begun = begin()
    await registry.requested('PATCH')
    assert.deepEqual(methods(), ['POST', 'PATCH'])
    growing.end()
    assert.deepEqual(await push(begun), { kind: 'uploaded' })
    assertStored()
    assert.deepEqual(methods(), ['POST', 'PATCH', 'HEAD', 'PUT'])
    assert.deepEqual(source.opened, [], 'nothing is sent twice')
  })

  it('sends as docker push does: one PATCH of unknown length, without a range', async () => {
    const begun = begin()
    await registry.requested('PATCH')
    growing.end()
    await push(begun)
    const patch = registry.requests.find(({ method }) => method === 'PATCH')
    assert.equal(patch?.headers['transfer-encoding'], 'chunked')
    assert.equal(patch?.headers['content-length'], undefined)
    assert.equal(patch?.headers['content-range'], undefined)
    assert.equal(patch?.headers['content-type'], 'application/octet-stream')
  })

  it('tells how much was sent', async () => {
    const sent: number[] = []
    const begun = client.beginBlob(referenceTo(registry, 'app'), growing, {
      signal: stop.signal,
      onProgress: (bytes) => sent.push(bytes),
    })
    await registry.requested('PATCH')
    growing.end()
    await push(begun)
    assert.deepEqual(sent, [BYTES.byteLength / 2, BYTES.byteLength])
  })

  it('is cancelled when the registry turns out to have the blob', async () => {
    registry.repository('app').addBlob(BYTES)
    const begun = begin()
    await registry.requested('PATCH')
    assert.deepEqual(await push(begun), { kind: 'existing' })
    assert.deepEqual(methods(), ['POST', 'PATCH', 'HEAD', 'DELETE'])
    assert.equal(registry.uploads.openCount, 0)
  })

  for (const status of [400, 401, 403, 404, 405, 411, 413, 416, 500, 501, 503]) {
    it(`is as if it had not been when the PATCH is answered ${status}`, async () => {
      registry.script({ method: 'PATCH', act: { kind: 'reply', status } })
      const begun = begin()
      await registry.requested('PATCH')
      growing.end()
      assert.deepEqual(await push(begun), { kind: 'uploaded' })
      assertStored()
      assert.deepEqual(source.opened, [0])
    })

    it(`is as if it had not been when the last PUT is answered ${status}`, async () => {
      const times = status < 500 ? 1 : 2
      registry.script({ method: 'PUT', times, act: { kind: 'reply', status } })
      const begun = begin()
      await registry.requested('PATCH')
      growing.end()
      assert.deepEqual(await push(begun), { kind: 'uploaded' })
      const stored = registry.repository('app').blobs.get(source.descriptor.digest)
      assert.ok(stored !== undefined && Buffer.from(stored).equals(BYTES))
    })

    it(`is not even begun when the POST is answered ${status}`, async () => {
      registry.script({
        method: 'POST',
        times: status < 500 ? 1 : 4,
        act: { kind: 'reply', status },
      })
      const begun = begin()
      await begun.finish(source.descriptor, stop.signal)
      registry.unscript()
      assert.deepEqual(await push(begun), { kind: 'uploaded' })
      assertStored()
    })
  }

  it('goes on with what the registry has of it after a cut', async () => {
    registry.script({ method: 'PATCH', act: { kind: 'cut-request', afterBytes: 1_000_000 } })
    const begun = begin()
    await registry.requested('PATCH')
    growing.end()
    await push(begun)
    assertStored()
    assert.deepEqual(source.opened, [1_000_000])
    const ranges = registry.requests.flatMap(({ headers }) => headers['content-range'] ?? [])
    assert.deepEqual(ranges, ['1000000-2999999'])
  })

  it('begins anew where what is left after a cut is of no use', async () => {
    registry.script({ method: 'PATCH', act: { kind: 'cut-request', afterBytes: 1_000_000 } })
    registry.script({ method: 'PATCH', times: 9, act: { kind: 'reply', status: 416 } })
    const begun = begin()
    await registry.requested('PATCH')
    growing.end()
    await push(begun)
    assert.ok(registry.repository('app').blobs.has(source.descriptor.digest))
    assert.deepEqual(source.opened.at(-1), 0)
  })

  it('begins anew when the registry has forgotten the session', async () => {
    const begun = begin()
    await registry.requested('PATCH')
    growing.end()
    const ended = client.pushBlob(referenceTo(registry, 'app'), source, {
      signal: stop.signal,
      begun: forgetting(begun),
    })
    assert.deepEqual(await ended, { kind: 'uploaded' })
    assertStored()
  })

  it('begins anew when what was sent is not the blob', async () => {
    const other = new GrowingBytes(noise(BYTES.byteLength, 7))
    const begun = begin(other)
    await other.taken
    other.end()
    await push(begun)
    const stored = registry.repository('app').blobs.get(source.descriptor.digest)
    assert.ok(stored !== undefined && Buffer.from(stored).equals(BYTES))
  })

  it('leaves it to smaller requests where a proxy takes no large ones', async () => {
    await using strict = await FakeRegistry.start({ bodyBytesMax: 1_100_000 })
    const { signal } = stop
    const reference = referenceTo(strict, 'app')
    const begun = client.beginBlob(reference, growing, { signal })
    await strict.requested('PATCH')
    growing.end()
    await client.pushBlob(reference, source, { signal, begun })
    assert.ok(strict.repository('app').blobs.has(source.descriptor.digest))
  })

  it('gives up for the same reasons as an upload that was not begun early', async () => {
    registry.script({ method: 'PUT', times: 99, act: { kind: 'reply', status: 403 } })
    const begun = begin()
    await registry.requested('PATCH')
    growing.end()
    await rejectsWith(push(begun), 'denied', /403/)
  })

  it('is cancelled by the signal, also at the registry', async () => {
    const begun = begin()
    await registry.requested('PATCH')
    stop.abort(new Error('stopped'))
    await begun[Symbol.asyncDispose]()
    assert.equal(registry.uploads.openCount, 0)
    await assert.rejects(push(begun), /^Error: stopped$/)
    assert.deepEqual(methods(), ['POST', 'PATCH', 'DELETE'])
  })

  it('is cancelled by the signal while the rest is waited for', async () => {
    const begun = begin()
    await registry.requested('PATCH')
    const pushed = push(begun)
    stop.abort(new Error('stopped'))
    await assert.rejects(pushed, /^Error: stopped$/)
    assert.equal(registry.uploads.openCount, 0)
  })

  it('is cancelled when the blob does not become whole', async () => {
    const begun = begin()
    await registry.requested('PATCH')
    growing.fail()
    await begun[Symbol.asyncDispose]()
    assert.equal(registry.uploads.openCount, 0)
    assert.equal(registry.repository('app').blobs.size, 0)
  })

  it('is silent when the registry cannot even cancel', async () => {
    registry.script({ method: 'DELETE', act: { kind: 'reply', status: 405 } })
    const begun = begin()
    await registry.requested('PATCH')
    await begun[Symbol.asyncDispose]()
    assert.deepEqual(methods(), ['POST', 'PATCH', 'DELETE'])
  })

  it('leaves the usual way to what has not had its turn yet', async () => {
    const before = [new GrowingBytes(noise(1000, 2)), new GrowingBytes(noise(1000, 3))]
    const first = before.map((bytes) => begin(bytes))
    await Promise.all(before.map(({ taken }) => taken))
    growing.end()
    assert.deepEqual(await push(begin()), { kind: 'uploaded' })
    assert.deepEqual(source.opened, [0])
    await Promise.all(first.map((one) => one[Symbol.asyncDispose]()))
    assertStored()
  })

  /** The registry is restarted between the last byte and the end. */
  function forgetting(begun: BegunUpload): BegunUpload {
    return {
      finish: async (...parameters) => {
        const session = await begun.finish(...parameters)
        assert.ok(session !== undefined)
        registry.uploads.forgetAll()
        return session
      },
      [Symbol.asyncDispose]: () => begun[Symbol.asyncDispose](),
    }
  }
})
