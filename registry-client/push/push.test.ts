import assert from 'node:assert/strict'
import type { RegistryClient } from '../client.ts'
import { digestOf, localPlatform, OCI_MANIFEST, serializeManifest } from '../oci/index.ts'
import { FakeRegistry } from '../testing/fake-registry.ts'
import {
  MemorySource,
  noise,
  RecordingSink,
  referenceTo,
  rejectsWith,
  testClient,
} from '../testing/test-client.ts'

const signal = new AbortController().signal
const BYTES = noise(3_000_000)

describe('pushBlob', () => {
  let registry: FakeRegistry
  let client: RegistryClient
  let source: MemorySource

  beforeEach(async () => {
    registry = await FakeRegistry.start()
    client = testClient()
    source = new MemorySource(BYTES)
  })

  afterEach(async () => {
    await client[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
  })

  function push(
    options: Parameters<RegistryClient['pushBlob']>[2] = { signal },
  ): ReturnType<RegistryClient['pushBlob']> {
    return client.pushBlob(referenceTo(registry, 'app'), source, options)
  }

  function assertStored(): void {
    const stored = registry.repository('app').blobs.get(source.descriptor.digest)
    assert.ok(stored !== undefined && Buffer.from(stored).equals(BYTES))
  }

  function methods(): string[] {
    return registry.requests.map(({ method }) => method)
  }

  it('sends one HEAD for a blob that is there', async () => {
    registry.repository('app').addBlob(BYTES)
    assert.deepEqual(await push(), { kind: 'existing' })
    assert.deepEqual(methods(), ['HEAD'])
    assert.deepEqual(source.opened, [])
  })

  it('refuses to take a blob of another size for the same', async () => {
    registry.script({
      method: 'HEAD',
      act: { kind: 'reply', status: 200, headers: { 'content-length': '5' } },
    })
    await rejectsWith(push(), 'size-mismatch', /with 5 bytes instead of 3000000/)
  })

  it('uploads in one PUT and reports the bytes', async () => {
    const progress: number[] = []
    assert.deepEqual(await push({ signal, onProgress: (bytes) => progress.push(bytes) }), {
      kind: 'uploaded',
    })
    assertStored()
    assert.deepEqual(methods(), ['HEAD', 'POST', 'PUT'])
    assert.equal(progress.at(-1), BYTES.byteLength)
  })

  it('keeps the query of a Location byte for byte', async () => {
    await push()
    assert.match(
      registry.requests[2]?.path ?? '',
      /\?_state=a%20b%2Bc%3D&digest=sha256%3A[a-f0-9]{64}$/,
    )
  })

  it('takes an absolute Location', async () => {
    await using other = await FakeRegistry.start()
    registry.script({
      method: 'POST',
      act: {
        kind: 'headers',
        headers: { location: `http://${other.host}/v2/app/blobs/uploads/x` },
      },
    })
    other.script({ method: 'PUT', act: { kind: 'reply', status: 201 } })
    await push()
    assert.equal(other.requests[0]?.headers['content-length'], String(BYTES.byteLength))
  })

  it('says so when there is no Location', async () => {
    registry.script({ method: 'POST', act: { kind: 'reply', status: 202 } })
    await rejectsWith(push(), 'bad-response', /^could not push 127.*sent no Location/)
  })

  it('mounts from another repository without opening the source', async () => {
    registry.repository('base').addBlob(BYTES)
    const result = await push({ signal, mountFrom: ['app', 'nowhere', 'base'] })
    assert.deepEqual(result, { kind: 'mounted', from: 'base' })
    assertStored()
    assert.deepEqual(source.opened, [])
  })

  it('uploads into the session that a refused mount began', async () => {
    assert.deepEqual(await push({ signal, mountFrom: ['nowhere'] }), { kind: 'uploaded' })
    assertStored()
    assert.deepEqual(methods(), ['HEAD', 'POST', 'PUT'])
  })

  for (const status of [401, 403, 404, 405]) {
    it(`uploads when a mount is answered ${status}`, async () => {
      registry.script({ method: 'POST', path: /mount=/, act: { kind: 'reply', status } })
      assert.deepEqual(await push({ signal, mountFrom: ['base'] }), { kind: 'uploaded' })
      assertStored()
    })
  }

  it('asks after a cut whether the blob is there, then how much of it, and sends only the rest', async () => {
    registry.script({ method: 'PUT', act: { kind: 'cut-request', afterBytes: 2_000_000 } })
    await push()
    assertStored()
    assert.deepEqual(methods(), ['HEAD', 'POST', 'PUT', 'HEAD', 'GET', 'PATCH', 'PUT'])
    assert.deepEqual(source.opened, [0, 2_000_000])
    assert.equal(registry.requests[5]?.headers['content-range'], '2000000-2999999')
  })

  it('begins anew after a cut when the registry has forgotten the upload', async () => {
    registry.script({ method: 'PUT', act: { kind: 'cut-request', afterBytes: 2_000_000 } })
    registry.script({ method: 'GET', act: { kind: 'reply', status: 404 } })
    await push()
    assertStored()
    assert.deepEqual(source.opened, [0, 0])
  })

  it('does not upload twice when only the answer was lost', async () => {
    registry.script({ method: 'PUT', act: { kind: 'cut-answer', afterBytes: 0 } })
    registry.script({ method: 'HEAD', act: { kind: 'headers', headers: {} } })
    await push()
    assertStored()
    assert.ok(source.opened.length <= 2)
  })

  it('survives many cuts as long as it gets ahead', async () => {
    registry.script({ method: 'PUT', act: { kind: 'cut-request', afterBytes: 10 } })
    registry.script({
      method: 'PATCH',
      times: 2,
      act: { kind: 'cut-request', afterBytes: 1_200_000 },
    })
    registry.script({ method: 'PUT', times: 2, act: { kind: 'reply', status: 503 } })
    await push()
    assertStored()
  })

  it('gives up when it never gets ahead', async () => {
    registry.script({ method: 'PUT', times: 99, act: { kind: 'reply', status: 502 } })
    await rejectsWith(push(), 'server-failed', /502 \(bad gateway\) \(tried 4 times\)/)
  })

  it('sends smaller chunks until a proxy lets them pass', async () => {
    await using strict = await FakeRegistry.start({ bodyBytesMax: 1_100_000 })
    await client.pushBlob(referenceTo(strict, 'app'), source, { signal })
    const stored = strict.repository('app').blobs.get(source.descriptor.digest)
    assert.ok(stored !== undefined && Buffer.from(stored).equals(BYTES))
    const chunks = strict.requests.filter(
      ({ method, status }) => method === 'PATCH' && status() === 202,
    )
    assert.deepEqual(
      chunks.map(({ headers }) => headers['content-range']),
      ['0-749999', '750000-1499999', '1500000-2249999', '2250000-2999999'],
    )
  })

  it('says what the server said when no size passes', async () => {
    await using strict = await FakeRegistry.start({ bodyBytesMax: 1000 })
    const work = client.pushBlob(referenceTo(strict, 'app'), source, { signal })
    await rejectsWith(work, 'too-large', /413 \(too large\): an HTML page, "413 Too Large"/)
  })

  it('sends chunks no smaller than OCI-Chunk-Min-Length', async () => {
    registry.script({ method: 'PUT', act: { kind: 'reply', status: 405 } })
    registry.script({
      method: 'POST',
      times: 2,
      act: { kind: 'headers', headers: { 'oci-chunk-min-length': '2000000' } },
    })
    registry.script({ method: 'PATCH', act: { kind: 'reply', status: 413 } })
    await rejectsWith(push(), 'too-large', /413/)
  })

  it('sends everything at once again where chunks are refused after a cut', async () => {
    registry.script({ method: 'PUT', act: { kind: 'cut-request', afterBytes: 2_000_000 } })
    registry.script({ method: 'PATCH', times: 9, act: { kind: 'reply', status: 405 } })
    await push()
    assertStored()
    assert.deepEqual(
      methods().filter((method) => method === 'PATCH' || method === 'PUT'),
      ['PUT', 'PATCH', 'PUT'],
    )
  })

  it('goes on in chunks where a broken request leaves nothing behind', async () => {
    const large = noise(20_000_000)
    source = new MemorySource(large)
    registry.script({ method: 'PUT', act: { kind: 'cut-request', afterBytes: 18_000_000 } })
    registry.script({ method: 'GET', path: /uploads/, act: { kind: 'reply', status: 404 } })
    await push()
    const stored = registry.repository('app').blobs.get(source.descriptor.digest)
    assert.ok(stored !== undefined && Buffer.from(stored).equals(Buffer.from(large)))
    const ranges = registry.requests.flatMap(({ headers }) => headers['content-range'] ?? [])
    assert.deepEqual(ranges, ['0-16777215', '16777216-19999999'])
  })

  it('begins anew when what the registry kept was not what was sent', async () => {
    registry.script({ method: 'PUT', act: { kind: 'cut-request', afterBytes: 2_000_000 } })
    const range = { range: '0-1499999' }
    registry.script({ method: 'GET', path: /uploads/, act: { kind: 'headers', headers: range } })
    await push()
    assertStored()
  })

  it('gets into step again after 416', async () => {
    registry.script({ method: 'PUT', act: { kind: 'reply', status: 405 } })
    registry.script({ method: 'PATCH', act: { kind: 'reply', status: 416 } })
    await push()
    assertStored()
  })

  it('does not believe a server that holds more than was sent', async () => {
    registry.script({ method: 'PUT', act: { kind: 'reply', status: 405 } })
    registry.script({ method: 'PATCH', act: { kind: 'headers', headers: { range: '0-99999999' } } })
    await rejectsWith(push(), 'bad-response', /says it holds 100000000 bytes/)
  })

  it('does not believe a registry that stored another digest', async () => {
    registry.script({
      method: 'PUT',
      act: { kind: 'headers', headers: { 'docker-content-digest': digestOf('x') } },
    })
    await rejectsWith(push(), 'digest-mismatch', /stored the blob as/)
  })

  it('passes on what the source threw, and does not try again', async () => {
    const broken = new Error('the layer is gone')
    const failing = { descriptor: source.descriptor, open: () => failingBytes(broken) }
    await assert.rejects(
      client.pushBlob(referenceTo(registry, 'app'), failing, { signal }),
      (error) => error === broken,
    )
    assert.equal(methods().filter((method) => method === 'POST').length, 1)
  })

  it('may take its bytes from the same registry, however many blobs do so at once', async () => {
    const blobs = Array.from({ length: 8 }, (_, index) => noise(1000, index + 2))
    const sources = blobs.map((bytes) => {
      const descriptor = registry.repository('base').addBlob(bytes)
      const open = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
        const sink = new RecordingSink()
        await client.fetchBlob(referenceTo(registry, 'base'), descriptor, sink, { signal })
        yield sink.bytes
      }
      return { descriptor, open }
    })
    const reference = referenceTo(registry, 'app')
    await Promise.all(sources.map((one) => client.pushBlob(reference, one, { signal })))
    assert.equal(registry.repository('app').blobs.size, blobs.length)
  })

  it('pushes an empty blob', async () => {
    source = new MemorySource(new Uint8Array())
    await push()
    assert.equal(registry.repository('app').blobs.has(source.descriptor.digest), true)
  })

  it('ends when the signal aborts', async () => {
    registry.script({ method: 'PUT', act: { kind: 'hang' } })
    const controller = new AbortController()
    const work = push({
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('stopped')),
    })
    await assert.rejects(work, /^Error: stopped$/)
  })
})

describe('checkPush', () => {
  it('tells whether uploads are taken, and leaves none behind', async () => {
    await using registry = await FakeRegistry.start()
    await using client = testClient()
    const reference = referenceTo(registry, 'app:v1')
    await client.checkPush(reference, { signal })
    assert.deepEqual(
      registry.requests.map(({ method }) => method),
      ['POST', 'DELETE'],
    )
    assert.equal(registry.uploads.openCount, 0)
    registry.script({ method: 'DELETE', act: { kind: 'reply', status: 405 } })
    await client.checkPush(reference, { signal })
    const body = '{"errors":[{"code":"DENIED","message":"read only"}]}'
    registry.script({ method: 'POST', act: { kind: 'reply', status: 403, body } })
    const reason = /^could not push .*app:v1: .*403.*DENIED: read only/
    await rejectsWith(client.checkPush(reference, { signal }), 'denied', reason)
  })
})

async function* failingBytes(error: Error): AsyncGenerator<Uint8Array, void, undefined> {
  yield new Uint8Array(10)
  throw error
}

describe('pushManifest', () => {
  let registry: FakeRegistry
  let client: RegistryClient

  beforeEach(async () => {
    registry = await FakeRegistry.start()
    client = testClient()
  })

  afterEach(async () => {
    await client[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
  })

  it('puts the exact bytes under a tag with their type', async () => {
    const repository = registry.repository('app')
    const { manifest } = repository.addImage({ layers: [noise(5)], platform: localPlatform() })
    repository.manifests.clear()
    await client.pushManifest(referenceTo(registry, 'app:v1'), manifest, { signal })
    assert.equal(repository.find('v1')?.digest, manifest.digest)
    assert.equal(registry.requests[0]?.headers['content-type'], OCI_MANIFEST)
  })

  it('goes by digest when there is no tag', async () => {
    const { manifest } = registry
      .repository('app')
      .addImage({ layers: [], platform: localPlatform() })
    const reference = { ...referenceTo(registry, 'app'), tag: undefined, digest: manifest.digest }
    await client.pushManifest(reference, manifest, { signal })
    assert.deepEqual(registry.requestLines, [`PUT /v2/app/manifests/${manifest.digest}`])
  })

  it('does not believe a registry that stored another digest', async () => {
    const { manifest } = registry
      .repository('app')
      .addImage({ layers: [], platform: localPlatform() })
    const headers = { 'docker-content-digest': digestOf('x') }
    registry.script({ method: 'PUT', act: { kind: 'headers', headers } })
    const work = client.pushManifest(referenceTo(registry, 'app:v1'), manifest, { signal })
    await rejectsWith(work, 'digest-mismatch', /stored the manifest as sha256:\w+ instead of/)
  })

  it("shows the registry's words when blobs are missing", async () => {
    const config = { mediaType: 'x', digest: digestOf('nowhere'), sizeBytes: 7 }
    const manifest = serializeManifest({ mediaType: OCI_MANIFEST, config, layers: [] })
    const work = client.pushManifest(referenceTo(registry, 'app:v1'), manifest, { signal })
    const error = await rejectsWith(
      work,
      'bad-response',
      /MANIFEST_BLOB_UNKNOWN: sha256:\w+ is not there/,
    )
    assert.equal(error.registryCode, 'MANIFEST_BLOB_UNKNOWN')
  })

  it('fails for an immutable tag, except when it names the same manifest', async () => {
    const repository = registry.repository('app')
    const old = repository.addImage({ layers: [noise(5)], platform: localPlatform(), tag: 'v1' })
    const other = repository.addImage({ layers: [noise(6)], platform: localPlatform() })
    const body =
      '{"errors":[{"code":"PRECONDITION","message":"The tag v1 is immutable, cannot be overwritten."}]}'
    registry.script({ method: 'PUT', times: 9, act: { kind: 'reply', status: 412, body } })
    await client.pushManifest(referenceTo(registry, 'app:v1'), old.manifest, { signal })
    const work = client.pushManifest(referenceTo(registry, 'app:v1'), other.manifest, { signal })
    await rejectsWith(work, 'tag-immutable', /could not push .*app:v1: .*The tag v1 is immutable/)
  })

  it('shows a quota error as the server says it', async () => {
    const { manifest } = registry
      .repository('app')
      .addImage({ layers: [], platform: localPlatform() })
    const body =
      '{"errors":[{"code":"DENIED","message":"adding 1 MiB of storage resource, which when updated to current usage exceeds the configured upper limit"}]}'
    registry.script({ method: 'PUT', act: { kind: 'reply', status: 403, body } })
    const work = client.pushManifest(referenceTo(registry, 'app:v1'), manifest, { signal })
    await rejectsWith(work, 'denied', /403 \(forbidden\): DENIED: adding 1 MiB of storage resource/)
  })
})
