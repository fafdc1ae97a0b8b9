import assert from 'node:assert/strict'
import type { RegistryClient } from './client.ts'
import type { RegistryClientOptions } from './host-clients.ts'
import { RegistryError } from './errors.ts'
import { digestOf } from './oci/index.ts'
import { DeafServer } from './testing/deaf-server.ts'
import { FakeRegistry } from './testing/fake-registry.ts'
import { RawServer } from './testing/raw-server.ts'
import { DEFAULT_RETRY_POLICY } from './transport/retry.ts'
import {
  MemorySource,
  noise,
  RecordingSink,
  referenceTo,
  testClient,
} from './testing/test-client.ts'

const signal = new AbortController().signal
const TIMEOUTS = { connectMs: 200, answerMs: 200, storeMs: 200, bodyIdleMs: 200 }
const RETRIES = { ...DEFAULT_RETRY_POLICY, triesMax: 2 }
/** Each silence twice, by timers that come a second late, on a slow machine; every default is far longer. */
const ENDS_MS = 10_000
const FOREVER = Number.POSITIVE_INFINITY

describe('a server that does not answer', function () {
  this.timeout(2 * ENDS_MS)
  let client: RegistryClient

  function open(options: RegistryClientOptions = {}): RegistryClient {
    client = testClient({ timeouts: TIMEOUTS, retryPolicy: RETRIES, ...options })
    return client
  }

  afterEach(() => client[Symbol.asyncDispose]())

  /** It ends soon, with an error that says what did not come, and from where. */
  async function timesOut(work: Promise<unknown>, message: RegExp, host: string): Promise<void> {
    const startedMs = performance.now()
    const error = await work.then(
      () => assert.fail('it succeeded'),
      (reason: unknown) => reason,
    )
    assert.ok(error instanceof RegistryError, String(error))
    assert.equal(error.code, 'timeout', error.message)
    assert.match(error.message, message)
    assert.ok(error.message.includes(host), error.message)
    assert.ok(performance.now() - startedMs < ENDS_MS)
  }

  function silentServer(): Promise<RawServer> {
    return RawServer.start(() => undefined)
  }

  it('at the first packet of a connection', async () => {
    await using server = await DeafServer.start()
    await timesOut(open().ping(server.host, { signal }), /no connection in time$/, server.host)
  })

  it('in the handshake of TLS', async () => {
    await using server = await silentServer()
    const work = open({ insecureRegistries: [server.host] }).ping(server.host, { signal })
    await timesOut(work, /no connection in time$/, server.host)
  })

  it('to a request', async () => {
    await using server = await silentServer()
    const work = open().ping(server.host, { signal })
    await timesOut(work, /no answer in time \(tried 2 times\)$/, server.host)
  })

  it('in the middle of a blob', async () => {
    const head = 'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nabc'
    await using server = await RawServer.start((socket) => socket.write(head))
    const blob = { mediaType: 'x', digest: digestOf('x'), sizeBytes: 1000 }
    const sink = new RecordingSink()
    const work = open().fetchBlob(referenceTo(server, 'app'), blob, sink, { signal })
    await timesOut(work, /its answer stopped in the middle \(tried 2 times\)$/, server.host)
    assert.equal(sink.ended, 'aborted')
    assert.equal(sink.bytes.toString(), 'abc')
  })

  it('to an upload, whose bytes it does not take', async () => {
    await using registry = await FakeRegistry.start()
    for (const method of ['PUT', 'PATCH'])
      registry.script({ method, times: FOREVER, act: { kind: 'hang' } })
    const source = new MemorySource(noise(20_000_000))
    const work = open().pushBlob(referenceTo(registry, 'app'), source, { signal })
    await timesOut(work, /no answer in time \(tried 2 times\)$/, registry.host)
  })

  it('to an upload that was begun early, which is then done again', async () => {
    await using registry = await FakeRegistry.start()
    registry.script({ method: 'PATCH', act: { kind: 'hang' } })
    const source = new MemorySource(noise(20_000_000))
    const reference = referenceTo(registry, 'app')
    const begun = open().beginBlob(reference, { open: () => source.open(0) }, { signal })
    await registry.requested('PATCH')
    const startedMs = performance.now()
    assert.deepEqual(await client.pushBlob(reference, source, { signal, begun }), {
      kind: 'uploaded',
    })
    assert.ok(performance.now() - startedMs < ENDS_MS)
    assert.deepEqual(source.opened, [0, 0])
  })

  it('as a proxy that is asked for a tunnel', async () => {
    await using proxy = await silentServer()
    const work = open({ env: { HTTPS_PROXY: `http://u:p@${proxy.host}` } }).ping('r.example', {
      signal,
    })
    const reason = /r\.example by the proxy [^:@]+:\d+: no answer in time \(tried 2 times\)$/
    await timesOut(work, reason, proxy.host)
  })

  it('as the token server of a registry', async () => {
    await using server = await silentServer()
    const realm = `http://${server.host}/token`
    await using registry = await FakeRegistry.start({ auth: { kind: 'bearer', realm } })
    const work = open().ping(registry.host, { signal })
    await timesOut(work, /no answer in time \(tried 2 times\)$/, server.host)
  })

  it('where a registry keeps its blobs', async () => {
    await using storage = await DeafServer.start()
    await using registry = await FakeRegistry.start()
    const blob = registry.repository('app').addBlob(noise(10))
    const location = `http://${storage.host}/blob`
    const act = { kind: 'reply', status: 307, headers: { location } } as const
    registry.script({ times: FOREVER, act })
    const sink = new RecordingSink()
    const work = open().fetchBlob(referenceTo(registry, 'app'), blob, sink, { signal })
    await timesOut(work, /no connection in time/, storage.host)
    assert.equal(sink.ended, 'aborted')
  })

  it('while another asks the same: who gives up does not wait for it', async () => {
    await using server = await silentServer()
    const own = open({ timeouts: { ...TIMEOUTS, answerMs: 60_000 } })
    const first = new AbortController()
    const asking = own.ping(server.host, { signal: first.signal })
    const second = new AbortController()
    const waiting = own.ping(server.host, { signal: second.signal })
    second.abort(new Error('no more time'))
    await assert.rejects(waiting, /no more time/)
    first.abort(new Error('end of the test'))
    await assert.rejects(asking, /end of the test/)
  })
})
