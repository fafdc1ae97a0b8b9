import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { localPlatform, serializeManifest } from './oci/index.ts'
import { CRANE, ORAS, programPath, requireProgram, type TestProgram } from './testing/program.ts'
import { pushTestImage } from './testing/push-test-image.ts'
import {
  type RealRegistry,
  requireRealRegistry,
  startRealRegistry,
} from './testing/real-registry.ts'
import { noise, RecordingSink, referenceTo, testClient } from './testing/test-client.ts'

const SKOPEO: TestProgram = { name: 'skopeo', debianPackage: 'skopeo' }
const signal = new AbortController().signal
const LAYERS = [noise(400_000), noise(2000, 2)]

const LOCAL = ['--plain-http'] as const

/** Programs that copy between repositories and print manifests. */
const PEERS: readonly {
  readonly program: TestProgram
  copy(from: string, to: string): readonly string[]
  manifest(name: string): readonly string[]
  tags(repository: string): readonly string[]
}[] = [
  {
    program: CRANE,
    copy: (from, to) => ['copy', '--insecure', from, to],
    manifest: (name) => ['manifest', '--insecure', name],
    tags: (repository) => ['ls', '--insecure', repository],
  },
  {
    program: ORAS,
    copy: (from, to) => ['cp', '-r', '--from-plain-http', '--to-plain-http', from, to],
    manifest: (name) => ['manifest', 'fetch', ...LOCAL, name],
    tags: (repository) => ['repo', 'tags', ...LOCAL, repository],
  },
]

for (const peer of PEERS) {
  describe(`beside ${peer.program.name} on the same registry`, () => {
    let registry: RealRegistry

    before(async function () {
      requireRealRegistry(this)
      requireProgram(this, peer.program)
      registry = await startRealRegistry()
    })

    after(() => registry?.[Symbol.asyncDispose]())

    async function run(args: readonly string[]): Promise<string> {
      const { stdout } = await promisify(execFile)(programPath(peer.program) ?? '', args)
      return stdout
    }

    it('what we push it reads and copies, with referrers, and we read what it copied', async () => {
      await using client = testClient()
      const ours = referenceTo(registry, 'ours:v1')
      const { manifest, image } = await pushTestImage(client, ours, LAYERS)
      const { mediaType, digest, bytes } = manifest
      const signature = serializeManifest({
        ...image,
        artifactType: 'text/test',
        subject: { mediaType, digest, sizeBytes: bytes.byteLength },
      })
      await client.pushManifest({ ...ours, tag: undefined }, signature, { signal })
      const raw = await run(peer.manifest(`${registry.host}/ours:v1`))
      assert.equal(raw.trimEnd(), Buffer.from(bytes).toString())
      await run(peer.copy(`${registry.host}/ours:v1`, `${registry.host}/theirs:v1`))
      const theirs = referenceTo(registry, 'theirs:v1')
      const found = await client.resolve(theirs, { platform: localPlatform(), signal })
      assert.equal(found.manifest.digest, digest)
      if (peer.program === ORAS) {
        const referrers = await client.referrers(theirs, digest, { signal })
        assert.deepEqual(
          referrers.map((referrer) => referrer.digest),
          [signature.digest],
        )
      }
      const again = referenceTo(registry, 'again:v2')
      await client.copy(client.repositorySource(theirs), again, { signal, withReferrers: true })
      const tags = (await run(peer.tags(`${registry.host}/again`))).trim().split('\n')
      assert.ok(tags.includes('v2'), tags.join())
      const last = await run(peer.manifest(`${registry.host}/again:v2`))
      assert.equal(last.trimEnd(), Buffer.from(bytes).toString())
    })
  })
}

describe('beside skopeo on the same registry', () => {
  let registry: RealRegistry
  let directory = ''

  before(async function () {
    requireRealRegistry(this)
    requireProgram(this, SKOPEO)
    registry = await startRealRegistry()
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-skopeo-'))
  })

  after(async () => {
    await registry?.[Symbol.asyncDispose]()
    if (directory !== '') await rm(directory, { recursive: true, force: true })
  })

  async function skopeo(...args: readonly string[]): Promise<string> {
    const run = promisify(execFile)
    const { stdout } = await run(programPath(SKOPEO) ?? '', ['--insecure-policy', ...args])
    return stdout
  }

  it('what we push it reads, what it pushes we read, and digests stay', async () => {
    await using client = testClient()
    const ours = referenceTo(registry, 'ours:v1')
    const { manifest, image } = await pushTestImage(client, ours, LAYERS)
    const raw = await skopeo(
      'inspect',
      '--raw',
      '--tls-verify=false',
      `docker://${registry.host}/ours:v1`,
    )
    assert.equal(raw, Buffer.from(manifest.bytes).toString())
    const layout = `oci:${join(directory, 'layout')}:v1`
    const from = [
      'copy',
      '--preserve-digests',
      '-q',
      '--src-tls-verify=false',
      `docker://${registry.host}/ours:v1`,
    ]
    await skopeo(...from, layout)
    const theirs = `docker://${registry.host}/theirs:v1`
    await skopeo('copy', '--preserve-digests', '-q', '--dest-tls-verify=false', layout, theirs)
    const reference = referenceTo(registry, 'theirs:v1')
    const found = await client.resolve(reference, { platform: localPlatform(), signal })
    assert.equal(found.manifest.digest, manifest.digest)
    for (const [index, layer] of image.layers.entries()) {
      const sink = new RecordingSink()
      await client.fetchBlob(reference, layer, sink, { signal })
      assert.ok(sink.bytes.equals(LAYERS[index] ?? Buffer.alloc(0)))
    }
  })

  it("reads Docker's types, which it makes", async () => {
    await using client = testClient()
    await pushTestImage(client, referenceTo(registry, 'ours:v2'), LAYERS)
    const from = `docker://${registry.host}/ours:v2`
    const to = `docker://${registry.host}/docker:v2`
    const tls = ['--src-tls-verify=false', '--dest-tls-verify=false']
    await skopeo('copy', '--quiet', '--format', 'v2s2', ...tls, from, to)
    const reference = referenceTo(registry, 'docker:v2')
    const found = await client.resolve(reference, { platform: localPlatform(), signal })
    assert.match(found.manifest.mediaType, /docker\.distribution\.manifest\.v2/)
    assert.equal(found.image.layers.length, LAYERS.length)
    assert.deepEqual(await client.listTags(reference, { signal }), ['v2'])
  })
})
