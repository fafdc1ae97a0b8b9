import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CuttingProxy } from '../../registry-client/testing/cutting-proxy.ts'
import { FakeRegistry } from '../../registry-client/testing/fake-registry.ts'
import { requireRealRegistry } from '../../registry-client/testing/real-registry.ts'
import { requires } from '../../snapshotter/testing/requires.ts'
import { mustRun } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

/** Random bytes do not get smaller; of so many, packing takes long after the upload could begin. */
const LARGE_BYTES = 96_000_000
const COPY = 'FROM scratch\nCOPY data /data\n'

async function largeContext(lab: Lab): Promise<string> {
  const context = await lab.context({ Dockerfile: COPY })
  await writeFile(join(context, 'data'), randomBytes(LARGE_BYTES))
  return context
}

/** How many large layers of a lab are packed. */
function packedCount(lab: Lab): number {
  const blobs = join(lab.stateRoot, 'blobs', 'sha256')
  const sizes = readdirSync(blobs).map((name) => statSync(join(blobs, name)).size)
  return sizes.filter((sizeBytes) => sizeBytes > LARGE_BYTES / 2).length
}

describe('a large layer of a build that pushes', function () {
  this.timeout(120_000)

  describe('to a real registry', () => {
    before(function () {
      requireRealRegistry(this)
    })

    /** Builds and pushes; gives how many layers had been packed when the PATCH of one came. */
    async function pushed(lab: Lab, args: readonly string[], output = ''): Promise<number[]> {
      const { host } = await labRegistry()
      await using proxy = await CuttingProxy.start(host)
      const packed: number[] = []
      proxy.onRequest = (line) => {
        if (line.startsWith('PATCH ')) packed.push(packedCount(lab))
      }
      const name = `early/${lab.dir.replace(/.*-/, '').toLowerCase()}:v1`
      await lab.build(['-o', `type=image,push=true,name=${proxy.host}/${name}${output}`, ...args])
      await assertWhole(lab, `${host}/${name}`)
      return packed
    }

    /** skopeo compares every digest. */
    async function assertWhole(lab: Lab, name: string): Promise<void> {
      const out = join(lab.dir, 'out')
      await mkdir(out, { recursive: true })
      const copy = ['--insecure-policy', 'copy', '--quiet', '--src-tls-verify=false']
      await mustRun('skopeo', [...copy, `docker://${name}`, `dir:${out}`])
      const { layers }: { layers: { digest: string; size: number }[] } = JSON.parse(
        await readFile(join(out, 'manifest.json'), 'utf8'),
      )
      const large = layers.at(-1)
      assert.ok(large !== undefined && large.size > LARGE_BYTES / 2)
      const { size } = await stat(join(out, large.digest.replace('sha256:', '')))
      assert.equal(size, large.size)
    }

    it('is sent while COPY packs it, and not when it is likely to be there', async () => {
      await using lab = await Lab.open()
      const context = await largeContext(lab)
      assert.deepEqual(await pushed(lab, [context]), [0])
      assert.deepEqual(await pushed(lab, ['--no-cache', context]), [])
    })

    describe('of a RUN', () => {
      requires('steps')

      for (const compression of ['gzip', 'zstd']) {
        it(`is sent while it is packed with ${compression}`, async () => {
          await using lab = await Lab.open()
          const { host } = await labRegistry()
          const context = await lab.context({
            Dockerfile: `FROM ${host}/library/busybox\nRUN head -c ${LARGE_BYTES} /dev/urandom > /data\n`,
          })
          assert.deepEqual(await pushed(lab, [context], `,compression=${compression}`), [0])
        })
      }
    })
  })

  it('is cancelled with the build, also at the registry', async () => {
    await using lab = await Lab.open()
    await using registry = await FakeRegistry.start()
    const context = await largeContext(lab)
    const name = `${registry.host}/early:v1`
    let isInterrupted = false
    const result = await lab.tsbuild(
      ['build', '--progress=rawjson', '-t', name, '--push', context],
      {
        onStderr: (text, signal) => {
          if (isInterrupted || !/"id":"\[1\/1\] COPY/.test(text)) return
          isInterrupted = true
          signal('SIGTERM')
        },
      },
    )
    assert.ok(isInterrupted, result.text)
    assert.equal(result.status, 143, result.text)
    assert.equal(registry.uploads.openCount, 0)
    assert.deepEqual(await lab.unfinished(), [])
  })
})
