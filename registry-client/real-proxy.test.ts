import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import type { RegistryClient } from './client.ts'
import { localPlatform } from './oci/index.ts'
import { CuttingProxy } from './testing/cutting-proxy.ts'
import { NGINX, startNginx } from './testing/nginx.ts'
import { requireProgram } from './testing/program.ts'
import { pushTestImage } from './testing/push-test-image.ts'
import {
  type RealRegistry,
  requireRealRegistry,
  startRealRegistry,
} from './testing/real-registry.ts'
import {
  MemorySource,
  noise,
  RecordingSink,
  referenceTo,
  rejectsWith,
  testClient,
} from './testing/test-client.ts'
import { systemClock } from './transport/clock.ts'
import { DEFAULT_RETRY_POLICY } from './transport/retry.ts'

const signal = new AbortController().signal
const LAYER = noise(6_000_000)

describe("against Debian's docker-registry behind nginx", () => {
  let registry: RealRegistry
  let client: RegistryClient

  before(async function () {
    requireRealRegistry(this)
    requireProgram(this, NGINX)
    registry = await startRealRegistry()
  })

  after(() => registry?.[Symbol.asyncDispose]())

  beforeEach(() => {
    client = testClient({
      clock: systemClock,
      retryPolicy: { triesMax: 12, delayMsFirst: 10, delayMsMax: 200, retryAfterMsMax: 1000 },
    })
  })

  afterEach(() => client[Symbol.asyncDispose]())

  /** Pushes an image through a proxy and pulls it back. */
  async function roundTrip(
    host: string,
    name: string,
    layers: readonly Uint8Array[],
  ): Promise<void> {
    const reference = referenceTo({ host }, name)
    const { manifest } = await pushTestImage(client, reference, layers)
    const found = await client.resolve(reference, { platform: localPlatform(), signal })
    assert.equal(found.manifest.digest, manifest.digest)
    await Promise.all(
      found.image.layers.map(async (layer, index) => {
        const sink = new RecordingSink()
        await client.fetchBlob(reference, layer, sink, { signal })
        assert.ok(sink.bytes.equals(layers[index] ?? Buffer.alloc(0)))
      }),
    )
  }

  it('goes below a path, as with the repositories of Artifactory', async () => {
    await using nginx = await startNginx({
      server: `location /v2/docker-local/ {
        client_max_body_size 0;
        proxy_pass http://${registry.host}/v2/;
      }`,
    })
    await roundTrip(nginx.host, 'docker-local/team/app:v1', [LAYER])
    assert.ok(await client.head(referenceTo(registry, 'team/app:v1'), { signal }))
  })

  it('sends smaller parts where a limit answers 413, and says so where none pass', async () => {
    const pass = `location / { proxy_pass http://${registry.host}; proxy_set_header Host $http_host; }`
    await using nginx = await startNginx({ server: `client_max_body_size 1100k; ${pass}` })
    await roundTrip(nginx.host, 'small/app:v1', [LAYER])
    await using strict = await startNginx({ server: `client_max_body_size 10k; ${pass}` })
    const source = new MemorySource(noise(3_000_000, 7))
    const push = client.pushBlob(referenceTo(strict, 'none'), source, { signal })
    await rejectsWith(push, 'too-large', /413 \(too large\): an HTML page, "413 Request Entity Too/)
  })

  for (const [way, settings, isTaken] of [
    ['that passes on whole requests', 'client_max_body_size 0;', true],
    [
      'that passes on bytes as they come',
      'client_max_body_size 0; proxy_request_buffering off; proxy_http_version 1.1;',
      true,
    ],
    ['that has a limit', 'client_max_body_size 1100k;', false],
  ] as const) {
    it(`gets a blob that is sent before it is whole through one ${way}`, async () => {
      const pass = `location / { proxy_pass http://${registry.host}; proxy_set_header Host $http_host; }`
      await using nginx = await startNginx({ server: `${settings} ${pass}` })
      const reference = referenceTo(nginx, isTaken ? `early/${way.length}` : 'early/limit')
      const source = new MemorySource(LAYER)
      const growing = { open: () => source.open(0) }
      const begun = client.beginBlob(reference, growing, { signal })
      while (source.opened.length === 0) await setImmediate()
      assert.deepEqual(await client.pushBlob(reference, source, { signal, begun }), {
        kind: 'uploaded',
      })
      assert.equal(source.opened.length === 1, isTaken)
      const there = referenceTo(registry, reference.repository)
      assert.ok(await client.hasBlob(there, source.descriptor, { signal }))
    })
  }

  it('waits and tries again when there were too many requests', async () => {
    await using nginx = await startNginx({
      http: 'limit_req_zone $server_name zone=all:1m rate=100r/s; limit_req_status 429;',
      server: `client_max_body_size 0; limit_req zone=all burst=4 nodelay;
        location / { proxy_pass http://${registry.host}; proxy_set_header Host $http_host; }`,
    })
    const layers = Array.from({ length: 8 }, (_, index) => noise(2000, 20 + index))
    await roundTrip(nginx.host, 'limited/app:v1', layers)
  })

  it('gets through a proxy that drops every third request', async () => {
    await using nginx = await startNginx({
      http: 'split_clients "$request_id" $dropped { 33% 1; * 0; }',
      server: `client_max_body_size 0;
        location / {
          if ($dropped) { return 444; }
          proxy_pass http://${registry.host};
          proxy_set_header Host $http_host;
        }`,
    })
    await roundTrip(nginx.host, 'dropped/app:v1', [noise(100_000, 30), noise(50_000, 31)])
  })

  it('takes its time with one that is slow, as long as bytes come', async () => {
    // A quarter of a second without a byte would end it; the whole layer takes longer.
    const timeouts = { connectMs: 5000, answerMs: 5000, storeMs: 5000, bodyIdleMs: 1500 }
    await using patient = testClient({
      timeouts,
      retryPolicy: { ...DEFAULT_RETRY_POLICY, triesMax: 1 },
    })
    await using nginx = await startNginx({
      server: `client_max_body_size 0;
        location / {
          proxy_pass http://${registry.host}; proxy_set_header Host $http_host;
          limit_rate 400k; proxy_buffer_size 4k; proxy_buffers 8 4k; sendfile_max_chunk 16k;
        }`,
    })
    const source = new MemorySource(noise(900_000, 40))
    await patient.pushBlob(referenceTo(nginx, 'slow/app'), source, { signal })
    const sink = new RecordingSink()
    const startedMs = performance.now()
    await patient.fetchBlob(referenceTo(nginx, 'slow/app'), source.descriptor, sink, { signal })
    assert.ok(performance.now() - startedMs > timeouts.bodyIdleMs, 'nginx was not slow')
    assert.ok(sink.bytes.equals(noise(900_000, 40)))
  })

  it('outlives a proxy that closes connections after every second answer', async () => {
    await using nginx = await startNginx({
      http: 'keepalive_requests 2; keepalive_timeout 1s;',
      server: `client_max_body_size 0;
        location / { proxy_pass http://${registry.host}; proxy_set_header Host $http_host; }`,
    })
    await using own = testClient()
    const layers = Array.from({ length: 12 }, (_, index) => noise(2000, 50 + index))
    await pushTestImage(own, referenceTo(nginx, 'closing/app:v1'), layers)
    assert.ok(await own.head(referenceTo(registry, 'closing/app:v1'), { signal }))
  })

  it('names the gateway that has nothing behind it', async () => {
    await using nginx = await startNginx({ server: 'location / { return 502; }' })
    await using own = testClient()
    const head = own.fetchManifest(referenceTo(nginx, 'app'), { signal })
    await rejectsWith(head, 'server-failed', /502 \(bad gateway\): an HTML page, "502 Bad Gateway"/)
  })
})

describe("against Debian's docker-registry over connections that break", () => {
  let registry: RealRegistry
  let proxy: CuttingProxy
  let client: RegistryClient

  before(async function () {
    requireRealRegistry(this)
    registry = await startRealRegistry()
  })

  after(() => registry?.[Symbol.asyncDispose]())

  beforeEach(async () => {
    proxy = await CuttingProxy.start(registry.host)
    client = testClient()
  })

  afterEach(async () => {
    await client[Symbol.asyncDispose]()
    await proxy[Symbol.asyncDispose]()
  })

  // Distribution takes no more bytes into an upload that broke in the middle of a request.
  it('begins anew where the registry cannot go on', async () => {
    const source = new MemorySource(LAYER)
    for (let cuts = 0; cuts < 4; cuts += 1) {
      proxy.cuts.push({ side: 'request', afterBytes: 2_000_000 })
    }
    const result = await client.pushBlob(referenceTo(proxy, 'cut'), source, { signal })
    assert.deepEqual(result, { kind: 'uploaded' })
    assert.ok(proxy.cutCount >= 1)
    assert.ok(await client.hasBlob(referenceTo(registry, 'cut'), source.descriptor, { signal }))
  })

  it('begins anew what was sent before it was whole, too', async () => {
    const source = new MemorySource(LAYER)
    // The PATCH may take the connection of the POST or a second one.
    for (let cuts = 0; cuts < 2; cuts += 1) {
      proxy.cuts.push({ side: 'request', afterBytes: 2_000_000 })
    }
    const reference = referenceTo(proxy, 'early')
    const begun = client.beginBlob(reference, { open: () => source.open(0) }, { signal })
    while (proxy.cutCount === 0) await setImmediate()
    const result = await client.pushBlob(reference, source, { signal, begun })
    assert.deepEqual(result, { kind: 'uploaded' })
    assert.ok(await client.hasBlob(referenceTo(registry, 'early'), source.descriptor, { signal }))
  })

  it('goes on from the last whole part behind a proxy that passes on only whole requests', async function () {
    requireProgram(this, NGINX)
    await using nginx = await startNginx({
      server: `client_max_body_size 0;
        location / { proxy_pass http://${registry.host}; proxy_set_header Host $http_host; }`,
    })
    await using cutting = await CuttingProxy.start(nginx.host)
    const source = new MemorySource(Buffer.alloc(40_000_000, 'pattern'), 1024 * 1024)
    for (let cuts = 0; cuts < 3; cuts += 1) {
      cutting.cuts.push({ side: 'request', afterBytes: 20_000_000 })
    }
    const result = await client.pushBlob(referenceTo(cutting, 'parts'), source, { signal })
    assert.deepEqual(result, { kind: 'uploaded' })
    const [first, ...later] = source.opened
    assert.equal(first, 0)
    assert.ok(later.filter((startByte) => startByte === 0).length <= 1, source.opened.join(', '))
    assert.ok(later.includes(16 * 1024 * 1024), source.opened.join(', '))
  })

  it('goes on when the registry is down for a moment', async () => {
    const source = new MemorySource(LAYER)
    await client.pushBlob(referenceTo(registry, 'restarted'), source, { signal })
    const host = proxy.host
    let waits = 0
    const sleep = async (): Promise<void> => {
      waits += 1
      if (waits === 1) await proxy[Symbol.asyncDispose]()
      if (waits === 3) proxy = await CuttingProxy.start(registry.host, Number(host.split(':')[1]))
    }
    await using own = testClient({ clock: { now: Date.now, random: () => 0, sleep } })
    proxy.cuts.push({ side: 'answer', afterBytes: 3_000_000 })
    const sink = new RecordingSink()
    await own.fetchBlob(referenceTo({ host }, 'restarted'), source.descriptor, sink, { signal })
    assert.ok(sink.bytes.equals(LAYER))
    assert.equal(waits, 3)
    const typo = own.ping('127.0.0.1:9', { signal })
    await rejectsWith(typo, 'registry-unreachable', /connection refused: nothing listens there$/)
  })

  it('pulls the rest after a cut', async () => {
    const source = new MemorySource(LAYER)
    await client.pushBlob(referenceTo(registry, 'pull'), source, { signal })
    proxy.cuts.push({ side: 'answer', afterBytes: 3_000_000 }, { side: 'answer', afterBytes: 10 })
    const sink = new RecordingSink()
    await client.fetchBlob(referenceTo(proxy, 'pull'), source.descriptor, sink, { signal })
    assert.ok(sink.bytes.equals(LAYER))
    assert.equal(proxy.cutCount, 2)
  })
})
