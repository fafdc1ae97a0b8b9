import assert from 'node:assert/strict'
import type { RegistryClient } from '../client.ts'
import { digestOf, OCI_INDEX, OCI_MANIFEST, type Platform, withDigest } from '../oci/index.ts'
import { FakeRegistry } from '../testing/fake-registry.ts'
import { noise, referenceTo, rejectsWith, testClient } from '../testing/test-client.ts'

const AMD64: Platform = { os: 'linux', architecture: 'amd64' }
const ARM64: Platform = { os: 'linux', architecture: 'arm64' }
const signal = new AbortController().signal

describe('resolve', () => {
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

  it('takes a plain manifest as it is, with one request', async () => {
    const image = registry
      .repository('app')
      .addImage({ layers: [noise(10)], platform: ARM64, tag: 'v1' })
    const found = await client.resolve(referenceTo(registry, 'app:v1'), { platform: AMD64, signal })
    assert.deepEqual(found.image.layers, image.layers)
    assert.equal(found.reference.digest, image.manifest.digest)
    assert.equal(found.platform, undefined)
    assert.deepEqual(registry.requestLines, ['GET /v2/app/manifests/v1'])
  })

  it('chooses from an index, past attestations, through a nested index', async () => {
    const repository = registry.repository('app')
    const amd64 = repository.addImage({ layers: [noise(10)], platform: AMD64 })
    const arm64 = repository.addImage({ layers: [noise(20)], platform: ARM64 })
    const attestation = {
      ...amd64.descriptor,
      platform: { os: 'unknown', architecture: 'unknown' },
    }
    const inner = { ...repository.addIndex([arm64.descriptor]), platform: ARM64 }
    const top = repository.addIndex([attestation, amd64.descriptor, inner], 'v1')
    const found = await client.resolve(referenceTo(registry, 'app:v1'), { platform: ARM64, signal })
    assert.equal(found.manifest.digest, arm64.manifest.digest)
    assert.equal(found.top.digest, top.digest)
    assert.deepEqual(found.platform, ARM64)
  })

  it('names what there is when no platform fits', async () => {
    const repository = registry.repository('app')
    const image = repository.addImage({ layers: [], platform: ARM64 })
    repository.addIndex([image.descriptor], 'v1')
    const work = client.resolve(referenceTo(registry, 'app:v1'), {
      platform: { os: 'linux', architecture: 's390x' },
      signal,
    })
    await rejectsWith(
      work,
      'no-platform-match',
      /^could not pull 127\.0\.0\.1:\d+\/app:v1: no match for platform linux\/s390x in manifest: it has linux\/arm64$/,
    )
  })

  it('refuses indexes that are nested without end', async () => {
    const repository = registry.repository('app')
    let descriptor = repository.addImage({ layers: [], platform: AMD64 }).descriptor
    for (let depth = 0; depth < 6; depth += 1)
      descriptor = { ...repository.addIndex([descriptor]), platform: AMD64 }
    const reference = withDigest(referenceTo(registry, 'app'), descriptor.digest)
    await rejectsWith(
      client.resolve(reference, { platform: AMD64, signal }),
      'bad-manifest',
      /nested more than 4/,
    )
  })

  it('asks by digest when there is one, whatever the tag', async () => {
    const image = registry.repository('app').addImage({ layers: [], platform: AMD64 })
    const reference = withDigest(referenceTo(registry, 'app:other'), image.manifest.digest)
    await client.resolve(reference, { platform: AMD64, signal })
    assert.deepEqual(registry.requestLines, [`GET /v2/app/manifests/${image.manifest.digest}`])
  })

  it('sends only a HEAD when the manifest is at hand', async () => {
    const image = registry.repository('app').addImage({ layers: [], platform: AMD64, tag: 'v1' })
    const readManifest = async (digest: string): Promise<Uint8Array | undefined> =>
      digest === image.manifest.digest ? image.manifest.bytes : undefined
    const found = await client.resolve(referenceTo(registry, 'app:v1'), {
      platform: AMD64,
      signal,
      readManifest,
    })
    assert.equal(found.manifest.digest, image.manifest.digest)
    assert.deepEqual(registry.requestLines, ['HEAD /v2/app/manifests/v1'])
  })

  it('fetches a manifest only when the name points elsewhere than to the one at hand', async () => {
    const repository = registry.repository('app')
    const old = repository.addImage({ layers: [], platform: AMD64, tag: 'v1' })
    const readManifest = async (digest: string): Promise<Uint8Array | undefined> =>
      digest === old.manifest.digest ? old.manifest.bytes : undefined
    const reference = referenceTo(registry, 'app:v1')
    const same = await client.fetchManifest(reference, { signal, readManifest })
    assert.equal(same.digest, old.manifest.digest)
    assert.deepEqual(registry.requestLines, ['HEAD /v2/app/manifests/v1'])
    const fresh = repository.addImage({ layers: [noise(9)], platform: AMD64, tag: 'v1' })
    const moved = await client.fetchManifest(reference, { signal, readManifest })
    assert.equal(moved.digest, fresh.manifest.digest)
    assert.equal(registry.requestLines.at(-1), `GET /v2/app/manifests/${fresh.manifest.digest}`)
  })

  it('refuses a manifest whose bytes have another digest than was asked for', async () => {
    const image = registry.repository('app').addImage({ layers: [], platform: AMD64, tag: 'v1' })
    registry.script({
      act: { kind: 'body', bytes: Buffer.from(`${Buffer.from(image.manifest.bytes).toString()} `) },
    })
    const reference = withDigest(referenceTo(registry, 'app'), image.manifest.digest)
    await rejectsWith(
      client.resolve(reference, { platform: AMD64, signal }),
      'digest-mismatch',
      /127\.0\.0\.1:\d+ sent a manifest with digest/,
    )
  })

  it('refuses a manifest that is not what Docker-Content-Digest claims', async () => {
    registry.repository('app').addImage({ layers: [], platform: AMD64, tag: 'v1' })
    registry.script({
      act: { kind: 'headers', headers: { 'docker-content-digest': digestOf('other') } },
    })
    await rejectsWith(
      client.resolve(referenceTo(registry, 'app:v1'), { platform: AMD64, signal }),
      'digest-mismatch',
      /instead of/,
    )
  })

  it('does without Docker-Content-Digest', async () => {
    const image = registry.repository('app').addImage({ layers: [], platform: AMD64, tag: 'v1' })
    registry.script({
      times: 2,
      act: { kind: 'headers', headers: { 'docker-content-digest': undefined } },
    })
    assert.equal(
      (await client.head(referenceTo(registry, 'app:v1'), { signal }))?.digest,
      image.manifest.digest,
    )
  })

  it('asks by GET where the registry has no HEAD', async () => {
    const image = registry.repository('app').addImage({ layers: [], platform: AMD64, tag: 'v1' })
    registry.script({ method: 'HEAD', act: { kind: 'reply', status: 405 } })
    assert.equal(
      (await client.head(referenceTo(registry, 'app:v1'), { signal }))?.digest,
      image.manifest.digest,
    )
  })

  it('says by undefined that a tag is not there', async () => {
    assert.equal(await client.head(referenceTo(registry, 'app:v1'), { signal }), undefined)
  })

  it('refuses a manifest served as another kind than the index said', async () => {
    const repository = registry.repository('app')
    const image = repository.addImage({ layers: [], platform: AMD64 })
    repository.addIndex([{ ...image.descriptor, mediaType: OCI_INDEX }], 'v1')
    await rejectsWith(
      client.resolve(referenceTo(registry, 'app:v1'), { platform: AMD64, signal }),
      'bad-manifest',
      /sent what is not valid/,
    )
  })

  it('refuses an HTML page that was served with status 200', async () => {
    registry.script({
      act: {
        kind: 'reply',
        status: 200,
        headers: { 'content-type': 'text/html' },
        body: '<html>Please log in</html>',
      },
    })
    await rejectsWith(
      client.resolve(referenceTo(registry, 'app:v1'), { platform: AMD64, signal }),
      'bad-manifest',
      /not valid JSON/,
    )
  })

  it('shows the title of an HTML error page, and the code and message of a registry error', async () => {
    registry.script({
      act: {
        kind: 'reply',
        status: 404,
        headers: { 'content-type': 'text/html' },
        body: '<html><title>No such host</title>',
      },
    })
    const work = (): Promise<unknown> =>
      client.resolve(referenceTo(registry, 'app:v1'), { platform: AMD64, signal })
    await rejectsWith(
      work(),
      'not-found',
      /answered 404 \(not found\): an HTML page, "No such host"/,
    )
    const error = await rejectsWith(work(), 'not-found', /MANIFEST_UNKNOWN: manifest unknown/)
    assert.equal(error.registryCode, 'MANIFEST_UNKNOWN')
    assert.equal(error.status, 404)
  })

  it('stops reading a manifest that does not end', async () => {
    const body = `{"schemaVersion":2,"x":"${'y'.repeat(5 * 1024 * 1024)}"}`
    registry.script({
      act: { kind: 'reply', status: 200, headers: { 'content-type': OCI_MANIFEST }, body },
    })
    await rejectsWith(
      client.resolve(referenceTo(registry, 'app:v1'), { platform: AMD64, signal }),
      'too-large',
      /manifest of more than/,
    )
  })

  it('waits as long as Retry-After asks and tries again', async () => {
    registry.repository('app').addImage({ layers: [], platform: AMD64, tag: 'v1' })
    registry.script({ act: { kind: 'reply', status: 429, headers: { 'retry-after': '7' } } })
    await client.resolve(referenceTo(registry, 'app:v1'), { platform: AMD64, signal })
    assert.equal(registry.requests.length, 2)
  })

  it('gives up with rate-limited after some tries', async () => {
    registry.script({
      times: 99,
      act: {
        kind: 'reply',
        status: 429,
        body: '{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}',
      },
    })
    await rejectsWith(
      client.resolve(referenceTo(registry, 'app:v1'), { platform: AMD64, signal }),
      'rate-limited',
      /TOOMANYREQUESTS: slow down \(tried 4 times\)/,
    )
  })

  it('says that nothing listens there, at once', async () => {
    const { host } = registry
    await registry[Symbol.asyncDispose]()
    const work = client.resolve(referenceTo({ host }, 'app:v1'), { platform: AMD64, signal })
    await rejectsWith(
      work,
      'registry-unreachable',
      /^could not pull 127.*: 127\.0\.0\.1:\d+: connection refused/,
    )
  })

  it('ends when the signal aborts, with its reason', async () => {
    registry.script({ act: { kind: 'hang' } })
    const controller = new AbortController()
    const work = client.resolve(referenceTo(registry, 'app:v1'), {
      platform: AMD64,
      signal: controller.signal,
    })
    controller.abort(new Error('stopped'))
    await assert.rejects(work, /^Error: stopped$/)
  })

  it('shows a warning of the registry once', async () => {
    const notices: string[] = []
    registry.repository('app').addImage({ layers: [], platform: AMD64, tag: 'v1' })
    registry.script({
      times: 2,
      act: { kind: 'headers', headers: { warning: '299 - "this tag will go away"' } },
    })
    await using noticing = testClient({ onNotice: (text) => notices.push(text) })
    await noticing.head(referenceTo(registry, 'app:v1'), { signal })
    await noticing.head(referenceTo(registry, 'app:v1'), { signal })
    assert.deepEqual(notices, [`${registry.host} warns: this tag will go away`])
  })
})
