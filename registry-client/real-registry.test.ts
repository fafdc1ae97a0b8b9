import assert from 'node:assert/strict'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { blobFileSource } from './blob-file.ts'
import type { RegistryClient } from './client.ts'
import { credentialsFor } from './auth/credentials.ts'
import {
  localPlatform,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_MANIFEST,
  serializeImageConfig,
  serializeIndex,
  serializeManifest,
} from './oci/index.ts'
import {
  TEST_CA,
  TEST_CLIENT_CERT,
  TEST_CLIENT_KEY,
  TEST_SERVER_CERT,
  TEST_SERVER_KEY,
} from './testing/certificates.ts'
import {
  HTPASSWD_ACCOUNT,
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

const signal = new AbortController().signal

describe("against Debian's docker-registry", () => {
  let registry: RealRegistry
  let client: RegistryClient

  before(async function () {
    requireRealRegistry(this)
    registry = await startRealRegistry()
    client = testClient()
  })

  after(async () => {
    await client?.[Symbol.asyncDispose]()
    await registry?.[Symbol.asyncDispose]()
  })

  it('pushes an image and its index, and pulls back the same bytes', async () => {
    const reference = referenceTo(registry, 'team/app:v1')
    const layer = new MemorySource(noise(5_000_000))
    const platform = localPlatform()
    const bytes = serializeImageConfig({
      ...platform,
      config: { Cmd: ['x'] },
      rootfs: { type: 'layers', diff_ids: [] },
      history: [],
    })
    const config = new MemorySource(bytes)
    const results = await Promise.all(
      [layer, config].map((source) => client.pushBlob(reference, source, { signal })),
    )
    assert.deepEqual(results, [{ kind: 'uploaded' }, { kind: 'uploaded' }])
    const configDescriptor = { ...config.descriptor, mediaType: OCI_CONFIG }
    const manifest = serializeManifest({
      mediaType: OCI_MANIFEST,
      config: configDescriptor,
      layers: [layer.descriptor],
    })
    await client.pushManifest({ ...reference, tag: undefined }, manifest, { signal })
    const descriptor = {
      mediaType: OCI_MANIFEST,
      digest: manifest.digest,
      sizeBytes: manifest.bytes.byteLength,
      platform,
    }
    const index = serializeIndex({ mediaType: OCI_INDEX, manifests: [descriptor] })
    await client.pushManifest(reference, index, { signal })

    const image = await client.resolve(reference, { platform, signal })
    assert.equal(image.reference.digest, index.digest)
    assert.deepEqual(image.image.layers, [layer.descriptor])
    assert.deepEqual(
      Buffer.from(await client.fetchBytes(reference, image.image.config, 1e6, { signal })),
      Buffer.from(bytes),
    )
    const sink = new RecordingSink()
    await client.fetchBlob(reference, layer.descriptor, sink, { signal })
    assert.ok(sink.bytes.equals(noise(5_000_000)))
    assert.deepEqual(await client.pushBlob(reference, layer, { signal }), { kind: 'existing' })
    const mounted = await client.pushBlob(referenceTo(registry, 'team/other'), layer, {
      signal,
      mountFrom: ['team/app'],
    })
    assert.deepEqual(mounted, { kind: 'mounted', from: 'team/app' })
  })

  it('uploads from a file', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tsbuild-push-'))
    try {
      const path = join(directory, 'layer')
      await writeFile(path, noise(2_500_000, 3))
      const source = blobFileSource(path, new MemorySource(noise(2_500_000, 3)).descriptor)
      const result = await client.pushBlob(referenceTo(registry, 'file'), source, { signal })
      assert.deepEqual(result, { kind: 'uploaded' })
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })

  it('refuses bytes that are not those of the descriptor', async () => {
    const honest = new MemorySource(noise(1000, 9))
    const liar = {
      descriptor: honest.descriptor,
      open: () => new MemorySource(noise(1000, 10)).open(0),
    }
    await rejectsWith(
      client.pushBlob(referenceTo(registry, 'liar'), liar, { signal }),
      'bad-response',
      /DIGEST_INVALID/,
    )
  })

  it('says what is missing', async () => {
    const reference = referenceTo(registry, 'absent:v1')
    assert.equal(await client.head(reference, { signal }), undefined)
    await rejectsWith(client.fetchManifest(reference, { signal }), 'not-found', /MANIFEST_UNKNOWN/)
  })
})

describe("against Debian's docker-registry with a password", () => {
  it('lets the right one in, and says that a wrong one was refused', async function () {
    requireRealRegistry(this)
    await using registry = await startRealRegistry({ htpasswd: true })
    const account = { kind: 'password', ...HTPASSWD_ACCOUNT } as const
    await using client = testClient({ credentials: credentialsFor(registry.host, account) })
    const result = await client.pushBlob(
      referenceTo(registry, 'app'),
      new MemorySource(noise(100_000)),
      { signal },
    )
    assert.deepEqual(result, { kind: 'uploaded' })
    const wrong = { ...account, password: 'wrong' }
    await rejectsWith(
      client.checkCredentials(registry.host, wrong, { signal }),
      'unauthorized',
      /the credentials were refused/,
    )
  })
})

describe("against Debian's docker-registry with TLS and client certificates", () => {
  it('shows its certificate, and is refused without', async function () {
    requireRealRegistry(this)
    const home = await mkdtemp(join(tmpdir(), 'tsbuild-mtls-'))
    try {
      const files = {
        'ca.crt': TEST_CA,
        'server.crt': TEST_SERVER_CERT,
        'server.key': TEST_SERVER_KEY,
        'client.cert': TEST_CLIENT_CERT,
        'client.key': TEST_CLIENT_KEY,
      }
      for (const [name, text] of Object.entries(files)) await writeFile(join(home, name), text)
      await using registry = await startRealRegistry({
        tls: {
          certificate: join(home, 'server.crt'),
          key: join(home, 'server.key'),
          clientCa: join(home, 'ca.crt'),
        },
      })
      const directory = join(home, '.docker/certs.d', registry.host)
      await mkdir(directory, { recursive: true })
      await copyFile(join(home, 'ca.crt'), join(directory, 'ca.crt'))
      await using without = testClient({ env: { HOME: home } })
      // With TLS 1.3 the server's alert comes after the handshake, and undici reports only the cut.
      await assert.rejects(without.ping(registry.host, { signal }), /could not reach 127/)
      await copyFile(join(home, 'client.cert'), join(directory, 'client.cert'))
      await copyFile(join(home, 'client.key'), join(directory, 'client.key'))
      await using client = testClient({ env: { HOME: home } })
      const source = new MemorySource(noise(1_000_000))
      const result = await client.pushBlob(referenceTo(registry, 'app'), source, { signal })
      assert.deepEqual(result, { kind: 'uploaded' })
    } finally {
      await rm(home, { recursive: true, force: true })
    }
  })
})
