import assert from 'node:assert/strict'
import { localPlatform, parseReference } from '../oci/index.ts'
import { type FakeImage, FakeRegistry } from '../testing/fake-registry.ts'
import {
  MemorySource,
  noise,
  RecordingSink,
  referenceTo,
  rejectsWith,
  testClient,
} from '../testing/test-client.ts'
import type { Routing } from './routing.ts'

const signal = new AbortController().signal
const platform = localPlatform()
const LAYER = noise(100_000)

describe('mirrors', () => {
  let origin: FakeRegistry
  let mirror: FakeRegistry
  let routing: Routing
  let image: FakeImage

  beforeEach(async () => {
    origin = await FakeRegistry.start()
    mirror = await FakeRegistry.start()
    image = origin.repository('app').addImage({ layers: [LAYER], platform, tag: 'v1' })
    routing = {
      insecureRegistries: [],
      pullSources: ({ registry, repository }) => [
        { registry: mirror.host, repository: `proxy/${repository}`, isPlainHttp: true },
        { registry, repository, isPlainHttp: false },
      ],
    }
  })

  afterEach(async () => {
    await origin[Symbol.asyncDispose]()
    await mirror[Symbol.asyncDispose]()
  })

  it('serve below their prefix, and the log says so', async () => {
    mirror.repository('proxy/app').addImage({ layers: [LAYER], platform, tag: 'v1' })
    const notices: string[] = []
    await using client = testClient({ routing, onNotice: (text) => notices.push(text) })
    const reference = referenceTo(origin, 'app:v1')
    const found = await client.resolve(reference, { platform, signal })
    assert.equal(found.reference.registry, origin.host)
    assert.deepEqual(origin.requests, [])
    await client.fetchManifest(reference, { signal })
    assert.deepEqual(notices, [`${origin.host}/app comes from the mirror ${mirror.host}/proxy/app`])
  })

  it('are passed over when they do not have it', async () => {
    await using client = testClient({ routing })
    const reference = referenceTo(origin, 'app:v1')
    const found = await client.resolve(reference, { platform, signal })
    assert.equal(found.manifest.digest, image.manifest.digest)
    assert.equal((await client.head(reference, { signal }))?.digest, image.manifest.digest)
    const absent = referenceTo(origin, 'absent:v1')
    assert.equal(await client.head(absent, { signal }), undefined)
  })

  it('are followed by the registry itself where they stopped in the middle of a blob', async () => {
    const [layer] = image.layers
    assert.ok(layer !== undefined)
    mirror.repository('proxy/app').addBlob(LAYER)
    mirror.script({ act: { kind: 'cut-answer', afterBytes: 40_000 } })
    mirror.script({ times: 9, act: { kind: 'reply', status: 500 } })
    const sink = new RecordingSink()
    await using client = testClient({ routing })
    await client.fetchBlob(referenceTo(origin, 'app'), layer, sink, { signal })
    assert.ok(sink.bytes.equals(LAYER))
    assert.deepEqual(
      origin.requests.map(({ headers }) => headers['range']),
      ['bytes=40000-'],
    )
  })

  it('are named in the error when nobody has it', async () => {
    await using client = testClient({ routing })
    const work = client.resolve(referenceTo(origin, 'absent:v1'), { platform, signal })
    const error = await rejectsWith(work, 'not-found', /^could not pull .*absent:v1: .*404/)
    assert.match(error.message, /\(before that, mirror 127\.0\.0\.1:\d+: .*404/)
  })

  it('are never pushed to', async () => {
    await using client = testClient({ routing })
    await client.pushBlob(referenceTo(origin, 'app'), new MemorySource(noise(10)), { signal })
    assert.deepEqual(mirror.requests, [])
  })

  it('get no credentials of the registry that they stand for', async () => {
    await using guarded = await FakeRegistry.start({
      auth: { kind: 'basic', username: 'm', password: 'm' },
    })
    const asked: string[] = []
    await using client = testClient({
      routing: {
        insecureRegistries: [],
        pullSources: () => [
          { registry: guarded.host, repository: 'x', isPlainHttp: true },
          { registry: origin.host, repository: 'app', isPlainHttp: true },
        ],
      },
      credentials: {
        find: async (registry) => {
          asked.push(registry)
          return undefined
        },
      },
    })
    await client.resolve(parseReference('registry.example/app:v1'), { platform, signal })
    assert.deepEqual([...new Set(asked)], [guarded.host])
  })
})
