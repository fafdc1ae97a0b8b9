import assert from 'node:assert/strict'
import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import { credentialsFor } from './auth/credentials.ts'
import type { RegistryClient } from './client.ts'
import { RegistryError } from './errors.ts'
import { digestOf, localPlatform, OCI_INDEX, OCI_MANIFEST, serializeIndex } from './oci/index.ts'
import { FakeRegistry } from './testing/fake-registry.ts'
import { RawServer } from './testing/raw-server.ts'
import {
  MemorySource,
  noise,
  RecordingSink,
  referenceTo,
  rejectsWith,
  testClient,
} from './testing/test-client.ts'
import { DEFAULT_RETRY_POLICY } from './transport/retry.ts'

const signal = new AbortController().signal
const platform = localPlatform()
const BLOB = noise(200_000)
const TIMEOUTS = { connectMs: 200, answerMs: 300, storeMs: 300, bodyIdleMs: 300 }
const SECRET = 'sw0rdfish'

describe('a hostile registry', () => {
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

  function resolve(): Promise<unknown> {
    return client.resolve(referenceTo(registry, 'app:v1'), { platform, signal })
  }

  function serveManifest(json: unknown, mediaType = OCI_MANIFEST): void {
    const bytes = Buffer.from(typeof json === 'string' ? json : JSON.stringify(json))
    registry.repository('app').addManifest({ mediaType, bytes }, 'v1')
  }

  const descriptor = { mediaType: 'x', digest: digestOf('x'), size: 1 }

  describe('about manifests', () => {
    for (const digest of [
      '../../../etc/passwd',
      'sha256:../../../../etc/passwd',
      `sha256:${'A'.repeat(64)}`,
      `sha256:${'a'.repeat(63)}`,
      `sha256:${'a'.repeat(64)}/../x`,
      `sha256:${'a'.repeat(64)}\n`,
      '',
    ]) {
      it(`is refused a digest that is none: ${JSON.stringify(digest).slice(0, 40)}`, async () => {
        const config = { ...descriptor, digest }
        serveManifest({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [] })
        await rejectsWith(resolve(), 'bad-manifest', /127\.0\.0\.1:\d+ sent what is not valid/)
      })
    }

    for (const size of [-1, 1.5, 1e300, '5', null]) {
      it(`is refused a size that is none: ${String(size)}`, async () => {
        const layers = [{ ...descriptor, size }]
        serveManifest({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: descriptor, layers })
        await rejectsWith(resolve(), 'bad-manifest', /layers\[0\]\.size/)
      })
    }

    it('cannot serve one thing as two kinds', async () => {
      const both = { schemaVersion: 2, config: descriptor, layers: [], manifests: [] }
      serveManifest(both)
      await rejectsWith(resolve(), 'bad-manifest', /holds both layers and manifests/)
      serveManifest({ ...both, mediaType: OCI_INDEX }, OCI_INDEX)
      await rejectsWith(resolve(), 'bad-manifest', /holds both/)
    })

    it('cannot nest JSON until the stack ends, nor pollute objects', async () => {
      const deep = `{"schemaVersion":2,"annotations":${'['.repeat(500_000)}${']'.repeat(500_000)}}`
      serveManifest(deep)
      await rejectsWith(resolve(), 'bad-manifest', /./)
      const config = JSON.stringify(descriptor)
      serveManifest(
        `{"schemaVersion":2,"mediaType":"${OCI_MANIFEST}","__proto__":{"subject":${config}},"config":${config},"layers":[]}`,
      )
      const found = await client.resolve(referenceTo(registry, 'app:v1'), { platform, signal })
      assert.equal(found.image.subject, undefined)
      assert.equal(Reflect.get({}, 'subject'), undefined)
    })

    it('ends soon with as many layers as a manifest can hold', async () => {
      const layers = Array.from({ length: 30_000 }, () => descriptor)
      serveManifest({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: descriptor, layers })
      const startedMs = performance.now()
      await client.resolve(referenceTo(registry, 'app:v1'), { platform, signal })
      assert.ok(performance.now() - startedMs < 3000)
      const more = [...layers, ...layers]
      serveManifest({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: descriptor, layers: more })
      await rejectsWith(resolve(), 'too-large', /sent a manifest of more than \d+ bytes/)
    })

    it('is not asked for a config that is announced as huge', async () => {
      const config = { mediaType: 'x', digest: digestOf('x'), sizeBytes: 1e12 }
      const work = client.fetchBytes(referenceTo(registry, 'app'), config, 100, { signal })
      await rejectsWith(work, 'too-large', /is 1000000000000 bytes long, more than the 100 allowed/)
      assert.deepEqual(registry.requests, [])
    })

    it('cannot change what a tag means between two questions', async () => {
      const repository = registry.repository('app')
      const first = repository.addImage({ layers: [noise(5)], platform, tag: 'v1' })
      const headers = { 'docker-content-digest': first.manifest.digest }
      registry.script({ method: 'HEAD', act: { kind: 'headers', headers } })
      repository.addImage({ layers: [noise(6)], platform, tag: 'v1' })
      const found = await client.resolve(referenceTo(registry, 'app:v1'), {
        platform,
        signal,
        readManifest: async () => undefined,
      })
      assert.equal(found.manifest.digest, first.manifest.digest)
    })
  })

  it('cannot pass a web page off as an answer, whatever was asked', async () => {
    const headers = { 'content-type': 'text/html; charset=utf-8' }
    const body = '<!DOCTYPE html><html><title>Sign in</title></html>'
    registry.script({ times: 99, act: { kind: 'reply', status: 200, headers, body } })
    const reference = referenceTo(registry, 'app:v1')
    const json = /is not valid JSON/
    await rejectsWith(client.fetchManifest(reference, { signal }), 'bad-manifest', json)
    await rejectsWith(client.listTags(reference, { signal }), 'bad-response', /no list of tags/)
    const referrers = client.referrers(reference, digestOf('x'), { signal })
    await rejectsWith(referrers, 'bad-manifest', json)
    const sink = new RecordingSink()
    const blob = { mediaType: 'x', digest: digestOf(BLOB), sizeBytes: BLOB.byteLength }
    const fetched = client.fetchBlob(reference, blob, sink, { signal })
    await rejectsWith(fetched, 'size-mismatch', /sent only 50 of the 200000 bytes/)
    assert.equal(sink.ended, 'aborted')
    const page = /answered 200 with an HTML page, "Sign in": that is no registry/
    await rejectsWith(client.ping(registry.host, { signal }), 'bad-response', page)
    const manifest = serializeIndex({ mediaType: OCI_INDEX, manifests: [] })
    const put = client.pushManifest(reference, manifest, { signal })
    await rejectsWith(put, 'bad-response', page)
    await rejectsWith(client.deleteManifest(reference, { signal }), 'bad-response', page)
  })

  describe('about blobs', () => {
    it('is named when it sends other bytes', async () => {
      const blob = registry.repository('app').addBlob(BLOB)
      registry.script({ act: { kind: 'body', bytes: noise(BLOB.byteLength, 9) } })
      const sink = new RecordingSink()
      const work = client.fetchBlob(referenceTo(registry, 'app'), blob, sink, { signal })
      await rejectsWith(work, 'digest-mismatch', /: 127\.0\.0\.1:\d+ sent a blob with digest/)
      assert.equal(sink.ended, 'aborted')
    })

    it('cannot fill memory or disk with more than was announced', async () => {
      const endless = Buffer.alloc(64 * 1024)
      const server = await RawServer.start((socket, own) => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        own.flood(socket, endless)
      })
      try {
        const sink = new RecordingSink()
        const blob = { mediaType: 'x', digest: digestOf('x'), sizeBytes: 100_000 }
        const work = client.fetchBlob(referenceTo(server, 'app'), blob, sink, { signal })
        await rejectsWith(work, 'size-mismatch', /sent more than the 100000 bytes/)
        assert.ok(sink.bytes.byteLength <= 100_000)
        const manifest = client.fetchManifest(referenceTo(server, 'app'), { signal })
        await rejectsWith(manifest, 'too-large', /sent a manifest of more than/)
      } finally {
        await server[Symbol.asyncDispose]()
      }
    })
  })

  describe('about time', () => {
    const silences: readonly (readonly [string, (socket: RawSocket, own: RawServer) => void])[] = [
      ['says nothing', () => undefined],
      [
        'drips headers',
        (socket, own) => {
          socket.write('HTTP/1.1 200 OK\r\n')
          own.drip(socket, 'x: y\r\n', 50)
        },
      ],
      [
        'drips a status line',
        (socket, own) => {
          socket.write('HTTP/1.1 2')
          own.drip(socket, '0', 50)
        },
      ],
      [
        'stops in the middle of a body',
        (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc'),
      ],
      [
        'promises to go on for ever',
        (socket, own) => own.drip(socket, 'HTTP/1.1 102 Processing\r\n\r\n', 50),
      ],
      [
        'sends headers without end',
        (socket, own) => {
          socket.write('HTTP/1.1 200 OK\r\n')
          own.flood(socket, Buffer.from(`x-${'y'.repeat(1000)}: z\r\n`))
        },
      ],
      ['speaks another protocol', (socket) => socket.write('SSH-2.0-OpenSSH_9.2\r\n')],
      [
        'changes the protocol',
        (socket) =>
          socket.write(
            'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
          ),
      ],
    ]
    for (const [name, onRequest] of silences) {
      it(`ends in an error that names it when it ${name}`, async function () {
        this.timeout(10_000)
        await using server = await RawServer.start(onRequest)
        const retryPolicy = { ...DEFAULT_RETRY_POLICY, triesMax: 1 }
        const own = testClient({ timeouts: TIMEOUTS, retryPolicy })
        try {
          const work = own.fetchManifest(referenceTo(server, 'app'), { signal })
          const error = await work.then(
            () => assert.fail('it succeeded'),
            (reason: unknown) => reason,
          )
          assert.ok(error instanceof RegistryError, String(error))
          assert.ok(error.message.includes(server.host), error.message)
        } finally {
          await own[Symbol.asyncDispose]()
        }
      })
    }
  })

  describe('about where requests go', () => {
    const source = new MemorySource(BLOB)

    async function withLogin<T>(work: (client: RegistryClient) => Promise<T>): Promise<T> {
      const account = { kind: 'password', username: 'me', password: SECRET } as const
      await using own = testClient({ credentials: credentialsFor(registry.host, account) })
      return await work(own)
    }

    for (const location of [
      'http://169.254.169.254/latest/meta-data',
      'http://[fe80::1]/x',
      'http://metadata.google.internal/x',
      'file:///etc/passwd',
      'ftp://127.0.0.1/x',
      'http://me:pw@127.0.0.1/x',
    ]) {
      it(`cannot send an upload to ${location}`, async () => {
        registry.script({ method: 'POST', act: { kind: 'headers', headers: { location } } })
        const work = client.pushBlob(referenceTo(registry, 'app'), source, { signal })
        const error = await rejectsWith(work, 'bad-response', /^could not push 127/)
        assert.doesNotMatch(error.message, /me:pw/)
      })
    }

    it('cannot hide such an address behind a name', async () => {
      const { lookup } = dns
      const resolved = (_name: string, _options: object, callback: unknown): void => {
        assert.ok(typeof callback === 'function')
        callback(null, [
          { address: '127.0.0.1', family: 4 },
          { address: '169.254.169.254', family: 4 },
        ])
      }
      Reflect.set(dns, 'lookup', resolved)
      syncBuiltinESMExports()
      try {
        const location = 'http://storage.example/blob'
        const act = { kind: 'reply', status: 307, headers: { location } } as const
        registry.script({ path: /blobs/, act })
        const blob = registry.repository('app').addBlob(BLOB)
        const sink = new RecordingSink()
        const work = client.fetchBlob(referenceTo(registry, 'app'), blob, sink, { signal })
        await rejectsWith(work, 'bad-response', /refused to follow the server to storage\.example/)
      } finally {
        Reflect.set(dns, 'lookup', lookup)
        syncBuiltinESMExports()
      }
    })

    it('gets an upload elsewhere done, but not with its credentials', async () => {
      await using guarded = await FakeRegistry.start({
        auth: { kind: 'basic', username: 'me', password: SECRET },
      })
      await using other = await FakeRegistry.start()
      const location = `http://localhost:${other.port}/v2/app/blobs/uploads/x`
      guarded.script({ method: 'POST', path: /uploads/, act: { kind: 'headers', headers: {} } })
      guarded.script({
        method: 'POST',
        path: /uploads/,
        act: { kind: 'headers', headers: { location } },
      })
      other.script({ method: 'PUT', act: { kind: 'reply', status: 201 } })
      const account = { kind: 'password', username: 'me', password: SECRET } as const
      await using own = testClient({ credentials: credentialsFor(guarded.host, account) })
      await own.pushBlob(referenceTo(guarded, 'app'), source, { signal })
      for (const { headers } of other.requests) assert.equal(headers['authorization'], undefined)
    })

    for (const realm of [
      'http://169.254.169.254/token',
      'file:///etc/passwd',
      'gopher://127.0.0.1/x',
      'http://metadata/computeMetadata/v1/token',
    ]) {
      it(`cannot name ${realm} as its token server`, async () => {
        registry.script({
          times: 9,
          act: {
            kind: 'reply',
            status: 401,
            headers: { 'www-authenticate': `Bearer realm="${realm}",service="x"` },
          },
        })
        const error = await withLogin((own) =>
          rejectsWith(
            own.fetchManifest(referenceTo(registry, 'app'), { signal }),
            'bad-response',
            /127\.0\.0\.1|metadata|169\.254/,
          ),
        )
        assert.doesNotMatch(`${error.stack}`, new RegExp(SECRET))
      })
    }

    it('cannot make it ask for tokens, or for other places, without end', async () => {
      registry.script({
        times: Number.POSITIVE_INFINITY,
        path: /^\/v2\//,
        act: {
          kind: 'reply',
          status: 401,
          headers: { 'www-authenticate': `Bearer realm="http://${registry.host}/token"` },
        },
      })
      const work = client.fetchManifest(referenceTo(registry, 'app'), { signal })
      await rejectsWith(work, 'unauthorized', /401/)
      assert.ok(registry.requests.length <= 8, String(registry.requests.length))
    })

    it('does not get a blob a byte at a time', async () => {
      registry.script({ method: 'PUT', act: { kind: 'reply', status: 405 } })
      for (let held = 1; held < 100; held += 1) {
        const headers = { range: `0-${held}`, location: '/v2/app/blobs/uploads/x' }
        registry.script({ method: 'PATCH', act: { kind: 'reply', status: 202, headers } })
      }
      const work = client.pushBlob(referenceTo(registry, 'app'), source, { signal })
      await rejectsWith(work, 'bad-response', /says it holds \d+ bytes after \d+ \+ \d+ were sent/)
      assert.ok(registry.requests.length < 30, String(registry.requests.length))
    })
  })
})

type RawSocket = Parameters<Parameters<(typeof RawServer)['start']>[0]>[0]
