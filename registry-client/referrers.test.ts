import assert from 'node:assert/strict'
import type { RegistryClient } from './client.ts'
import {
  type Descriptor,
  localPlatform,
  type ManifestBytes,
  OCI_INDEX,
  OCI_MANIFEST,
  serializeManifest,
} from './oci/index.ts'
import { type FakeImage, FakeRegistry } from './testing/fake-registry.ts'
import { noise, referenceTo, rejectsWith, testClient } from './testing/test-client.ts'

const signal = new AbortController().signal

describe('referrers', () => {
  let registry: FakeRegistry
  let client: RegistryClient
  let image: FakeImage

  async function start(hasReferrers: boolean): Promise<void> {
    registry = await FakeRegistry.start({ hasReferrers })
    image = registry
      .repository('app')
      .addImage({ layers: [noise(9)], platform: localPlatform(), tag: 'v1' })
  }

  beforeEach(() => {
    client = testClient()
  })

  afterEach(async () => {
    await client[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
  })

  function artifact(type: string, seed: number): ManifestBytes {
    const layer = registry.repository('app').addBlob(noise(20, seed))
    return serializeManifest({
      mediaType: OCI_MANIFEST,
      artifactType: type,
      config: image.config,
      layers: [layer],
      subject: image.descriptor,
    })
  }

  async function push(manifest: ManifestBytes): Promise<void> {
    const reference = { ...referenceTo(registry, 'app'), tag: undefined, digest: manifest.digest }
    await client.pushManifest(reference, manifest, { signal })
  }

  function list(artifactType?: string): Promise<Descriptor[]> {
    const options = artifactType === undefined ? { signal } : { signal, artifactType }
    return client.referrers(referenceTo(registry, 'app'), image.manifest.digest, options)
  }

  it('are listed by the API over all pages, and left to the registry', async () => {
    await start(true)
    const [sbom, signature] = [artifact('text/sbom', 2), artifact('text/signature', 3)]
    await push(sbom)
    await push(signature)
    const digests = (await list()).map(({ digest }) => digest)
    assert.deepEqual(digests.sort(), [sbom.digest, signature.digest].sort())
    assert.deepEqual([...registry.repository('app').tags.keys()], ['v1'])
    // This registry does not filter, as the specification allows.
    assert.deepEqual(
      (await list('text/sbom')).map(({ digest }) => digest),
      [sbom.digest],
    )
  })

  it('are kept under a tag where the registry does not know of them', async () => {
    await start(false)
    assert.deepEqual(await list(), [])
    const manifests = Array.from({ length: 4 }, (_, index) => artifact('text/x', index + 5))
    await Promise.all(manifests.map(push))
    const tag = image.manifest.digest.replace(':', '-')
    assert.equal(registry.repository('app').find(tag)?.mediaType, OCI_INDEX)
    const found = await list('text/x')
    assert.deepEqual(
      found.map(({ digest }) => digest).sort(),
      manifests.map(({ digest }) => digest).sort(),
    )
    const before = registry.requests.length
    await push(manifests[0] ?? assert.fail())
    assert.ok(registry.requestLines.slice(before).every((line) => !line.startsWith(`PUT ${tag}`)))
    assert.equal((await list()).length, 4)
  })

  it('survive another writer who came between', async () => {
    await start(false)
    const [first, second] = [artifact('a', 2), artifact('b', 3)]
    await push(first)
    const tag = image.manifest.digest.replace(':', '-')
    const old = registry.repository('app').find(tag)
    assert.ok(old !== undefined)
    // The write is answered as done, and overwritten at once.
    registry.script({
      method: 'PUT',
      path: /manifests\/sha256-/,
      act: { kind: 'reply', status: 201 },
    })
    await push(second)
    assert.equal((await list()).length, 2)
  })

  it('are not believed to be an HTML page', async () => {
    await start(true)
    registry.script({ act: { kind: 'reply', status: 200, body: '<html>' } })
    await rejectsWith(list(), 'bad-manifest', /^could not list referrers of sha256/)
  })
})
