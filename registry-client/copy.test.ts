import assert from 'node:assert/strict'
import type { RegistryClient } from './client.ts'
import type { CopyOptions } from './copy.ts'
import {
  type Descriptor,
  digestHex,
  type ManifestBytes,
  OCI_MANIFEST,
  type Platform,
  serializeManifest,
} from './oci/index.ts'
import { type FakeImage, FakeRegistry } from './testing/fake-registry.ts'
import { noise, referenceTo, rejectsWith, testClient } from './testing/test-client.ts'

const AMD64: Platform = { os: 'linux', architecture: 'amd64' }
const ARM64: Platform = { os: 'linux', architecture: 'arm64' }
const signal = new AbortController().signal
const SHARED = noise(300_000, 7)

describe('copy', () => {
  let from: FakeRegistry
  let to: FakeRegistry
  let client: RegistryClient

  beforeEach(async () => {
    from = await FakeRegistry.start()
    to = await FakeRegistry.start()
    client = testClient()
  })

  afterEach(async () => {
    await client[Symbol.asyncDispose]()
    await from[Symbol.asyncDispose]()
    await to[Symbol.asyncDispose]()
  })

  function copy(target = 'moved:v2', options: Partial<CopyOptions> = {}): Promise<ManifestBytes> {
    const source = client.repositorySource(referenceTo(from, 'app:v1'))
    return client.copy(source, referenceTo(to, target), { signal, ...options })
  }

  /** An index of two images with a common layer. */
  function addIndex(): { amd64: FakeImage; arm64: FakeImage; index: Descriptor } {
    const repository = from.repository('app')
    const amd64 = repository.addImage({ layers: [SHARED, noise(1000, 2)], platform: AMD64 })
    const arm64 = repository.addImage({ layers: [SHARED, noise(1000, 3)], platform: ARM64 })
    const index = repository.addIndex([amd64.descriptor, arm64.descriptor], 'v1')
    return { amd64, arm64, index }
  }

  it('brings an index with all its images, byte for byte, and shared layers once', async () => {
    const { index, amd64, arm64 } = addIndex()
    const done: string[] = []
    const root = await copy('moved:v2', { onBlob: (_, { kind }) => done.push(kind) })
    assert.equal(root.digest, index.digest)
    const target = to.repository('moved')
    assert.equal(target.find('v2')?.digest, index.digest)
    for (const image of [amd64, arm64]) {
      assert.ok(target.find(image.manifest.digest))
      for (const layer of image.layers) {
        assert.deepEqual(
          target.blobs.get(layer.digest),
          Buffer.from(from.repository('app').blobs.get(layer.digest) ?? []),
        )
      }
    }
    assert.deepEqual(
      done,
      Array.from({ length: 5 }, () => 'uploaded'),
    )
  })

  it('takes only the image of a platform', async () => {
    const { amd64, arm64 } = addIndex()
    const root = await copy('moved:v2', { platform: ARM64 })
    assert.equal(root.digest, arm64.manifest.digest)
    assert.equal(to.repository('moved').find('v2')?.digest, arm64.manifest.digest)
    assert.equal(to.repository('moved').find(amd64.manifest.digest), undefined)
    const other = copy('moved:v3', { platform: { os: 'linux', architecture: 's390x' } })
    await rejectsWith(other, 'no-platform-match', /s390x in manifest: it has linux\/amd64/)
  })

  it('asks the config of an image without an index for its platform', async () => {
    from.repository('app').addImage({ layers: [SHARED], platform: AMD64, tag: 'v1' })
    await copy('moved:v2', { platform: AMD64 })
    const wrong = copy('moved:v3', { platform: ARM64 })
    await rejectsWith(wrong, 'no-platform-match', /the image is for linux\/amd64/)
    assert.equal(to.repository('moved').find('v3'), undefined)
  })

  it('sends nothing but a HEAD and the name when all is there', async () => {
    const { index } = addIndex()
    await copy()
    to.requests.length = 0
    await copy('moved:v3')
    assert.deepEqual(to.requestLines, [
      `HEAD /v2/moved/manifests/${index.digest}`,
      'PUT /v2/moved/manifests/v3',
    ])
  })

  it('mounts within one registry, without moving a byte', async () => {
    addIndex()
    const source = client.repositorySource(referenceTo(from, 'app:v1'))
    const kinds: string[] = []
    await client.copy(source, referenceTo(from, 'other/name:v1'), {
      signal,
      onBlob: (_, { kind }) => kinds.push(kind),
    })
    assert.deepEqual([...new Set(kinds)], ['mounted'])
    assert.ok(from.requests.every(({ method, path }) => method !== 'GET' || !/blobs/.test(path)))
  })

  it('goes on where it was when either side is cut', async () => {
    from.repository('app').addImage({ layers: [noise(3_000_000)], platform: AMD64, tag: 'v1' })
    from.script({
      method: 'GET',
      path: /blobs/,
      act: { kind: 'cut-answer', afterBytes: 1_500_000 },
    })
    to.script({
      method: 'PUT',
      path: /uploads/,
      act: { kind: 'cut-request', afterBytes: 2_000_000 },
    })
    to.script({
      method: 'PUT',
      path: /uploads/,
      act: { kind: 'cut-request', afterBytes: 500_000 },
    })
    await copy()
    assert.ok(to.repository('moved').find('v2'))
    assert.deepEqual(
      [...to.repository('moved').blobs.keys()].sort(),
      [...from.repository('app').blobs.keys()].sort(),
    )
  })

  it('stores nothing of a source that lies, and names it', async () => {
    const { layers } = from
      .repository('app')
      .addImage({ layers: [SHARED], platform: AMD64, tag: 'v1' })
    const [layer] = layers
    assert.ok(layer !== undefined)
    from.repository('app').blobs.set(layer.digest, noise(300_000, 8))
    await assert.rejects(copy(), /digest/)
    assert.equal(to.repository('moved').blobs.has(layer.digest), false)
    assert.equal(to.repository('moved').find('v2'), undefined)
  })

  it('refuses a target digest that the source does not have', async () => {
    addIndex()
    const wrong = `moved@sha256:${'0'.repeat(64)}`
    await rejectsWith(copy(wrong), 'digest-mismatch', /the copy has the digest/)
  })

  it('leaves layers where they are that may not be distributed', async () => {
    const repository = from.repository('app')
    const image = repository.addImage({ layers: [SHARED], platform: AMD64 })
    const foreign = {
      ...image.config,
      mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
      urls: ['http://169.254.169.254/layer'],
    }
    const manifest = serializeManifest({
      mediaType: OCI_MANIFEST,
      config: image.config,
      layers: [...image.layers, foreign],
    })
    repository.addManifest(manifest, 'v1')
    await copy()
    assert.ok(to.repository('moved').find('v2'))
  })

  describe('with referrers', () => {
    beforeEach(async () => {
      await from[Symbol.asyncDispose]()
      await to[Symbol.asyncDispose]()
      from = await FakeRegistry.start({ hasReferrers: true })
      to = await FakeRegistry.start({ hasReferrers: true })
    })

    function addReferrer(subject: Descriptor, seed: number): ManifestBytes {
      const repository = from.repository('app')
      const layer = repository.addBlob(noise(20, seed))
      const { mediaType, digest, sizeBytes } = subject
      const manifest = serializeManifest({
        mediaType: OCI_MANIFEST,
        artifactType: 'text/test',
        config: layer,
        layers: [layer],
        subject: { mediaType, digest, sizeBytes },
      })
      repository.addManifest(manifest)
      return manifest
    }

    function asDescriptor({ mediaType, digest, bytes }: ManifestBytes): Descriptor {
      return { mediaType, digest, sizeBytes: bytes.byteLength }
    }

    it('brings what refers to the index, to its images and to referrers, and tags of cosign', async () => {
      const { index, arm64 } = addIndex()
      const ofIndex = addReferrer(index, 11)
      const ofImage = addReferrer(arm64.descriptor, 12)
      const ofReferrer = addReferrer(asDescriptor(ofImage), 13)
      const other = from.repository('app').addImage({ layers: [noise(5, 9)], platform: AMD64 })
      const ofOther = addReferrer(other.descriptor, 14)
      const signature = addReferrer(other.descriptor, 15)
      const tag = `sha256-${digestHex(index.digest)}.sig`
      from.repository('app').tags.set(tag, signature.digest)
      await copy()
      assert.equal(to.repository('moved').find(ofIndex.digest), undefined)
      const told: string[] = []
      await copy('moved:v2', { withReferrers: true, onReferrer: ({ digest }) => told.push(digest) })
      const target = to.repository('moved')
      const expected = [ofIndex, ofImage, ofReferrer, signature].map(({ digest }) => digest)
      for (const digest of expected) assert.ok(target.find(digest), digest)
      assert.deepEqual(told.sort(), [...expected].sort())
      assert.equal(target.find(tag)?.digest, signature.digest)
      assert.equal(target.find(ofOther.digest), undefined)
    })

    it('keeps the list where the target has no such API, and has it before the name', async () => {
      await to[Symbol.asyncDispose]()
      to = await FakeRegistry.start({ hasReferrers: false })
      const { index } = addIndex()
      const referrer = addReferrer(index, 11)
      await copy('moved:v2', { withReferrers: true })
      const place = referenceTo(to, 'moved')
      const listed = await client.referrers(place, index.digest, { signal })
      assert.deepEqual(
        listed.map(({ digest }) => digest),
        [referrer.digest],
      )
      const puts = to.requestLines.filter((line) => /^PUT .*manifests/.test(line))
      assert.match(puts.at(-1) ?? '', /manifests\/v2$/)
    })

    it('ends with referrers that go on for ever', async () => {
      const { index } = addIndex()
      let subject = asDescriptor(addReferrer(index, 20))
      for (let depth = 0; depth < 10; depth += 1) {
        subject = asDescriptor(addReferrer(subject, 21 + depth))
      }
      const work = copy('moved:v2', { withReferrers: true })
      await rejectsWith(work, 'bad-manifest', /more than 8 levels deep/)
      assert.equal(to.repository('moved').find('v2'), undefined)
    })
  })
})
