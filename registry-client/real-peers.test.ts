import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { localPlatform } from './oci/index.ts'
import { programPath, requireProgram, type TestProgram } from './testing/program.ts'
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
