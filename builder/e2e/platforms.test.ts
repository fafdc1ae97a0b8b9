import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { runCommand } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

interface Index {
  readonly annotations?: Record<string, string>
  readonly manifests: readonly {
    readonly digest: string
    readonly platform: { readonly architecture: string }
    readonly annotations?: Record<string, string>
  }[]
}

async function fetchJson<Json>(host: string, path: string): Promise<Json> {
  const accept =
    'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json'
  const response = await fetch(`http://${host}/v2/${path}`, { headers: { accept } })
  assert.equal(response.status, 200, path)
  return (await response.json()) as Json
}

describe('an image for several platforms', () => {
  requires('root')

  it('is built on this one, stored, pushed, saved and told of', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: [
        `FROM --platform=$BUILDPLATFORM ${host}/library/busybox AS make`,
        'ARG TARGETARCH',
        'RUN echo $TARGETARCH > /arch',
        'FROM scratch',
        'COPY --from=make /arch /arch',
      ].join('\n'),
    })
    const name = `${host}/several/app:1`
    const metadata = join(lab.dir, 'metadata.json')
    const annotations = [
      'a=of-manifest',
      'index:b=of-index',
      'manifest-descriptor[linux/arm64]:c=of-arm',
      'index-descriptor:d=of-descriptor',
    ]
    const args = [
      '--platform',
      'linux/amd64,linux/arm64',
      '-t',
      name,
      '--push',
      '--metadata-file',
      metadata,
    ]
    await lab.build([...args, ...annotations.flatMap((text) => ['--annotation', text]), context])

    const index = await fetchJson<Index>(host, 'several/app/manifests/1')
    assert.deepEqual(index.annotations, { b: 'of-index' })
    assert.deepEqual(
      index.manifests.map(({ platform, annotations: own }) => [platform.architecture, own]),
      [
        ['amd64', undefined],
        ['arm64', { c: 'of-arm' }],
      ],
    )
    for (const { digest } of index.manifests) {
      const manifest = await fetchJson<Index>(host, `several/app/manifests/${digest}`)
      assert.deepEqual(manifest.annotations, { a: 'of-manifest' })
    }
    const told = JSON.parse(await readFile(metadata, 'utf8'))
    assert.equal(told['containerimage.descriptor'].annotations.d, 'of-descriptor')
    assert.equal(told['image.name'], name)

    const again = await lab.build([...args, context])
    assert.doesNotMatch(again.stderr, /RUN .*\n#\d+ DONE/)
    const inspected = await lab.tsbuild(['inspect', name])
    const images: { readonly Architecture: string }[] = JSON.parse(inspected.stdout)
    assert.deepEqual(
      images.map(({ Architecture }) => Architecture),
      ['amd64', 'arm64'],
    )

    const saved = join(lab.dir, 'saved.tar')
    const save = await lab.tsbuild(['save', '--format', 'oci-archive', '-o', saved, name])
    assert.equal(save.status, 0, save.text)
    const listed = await runCommand('tar', ['tf', saved])
    assert.match(listed.stdout, /index\.json/)
    const out = join(lab.dir, 'out')
    await lab.build([
      '--platform',
      'linux/amd64,linux/arm64',
      '-o',
      `type=local,dest=${out}`,
      context,
    ])
    assert.deepEqual((await readdir(out)).toSorted(), ['linux_amd64', 'linux_arm64'])
    assert.equal(await readFile(join(out, 'linux_arm64/arch'), 'utf8'), 'arm64\n')

    const retagged = `${host}/several/other:1`
    assert.equal((await lab.tsbuild(['tag', name, retagged])).status, 0)
    const pushed = await lab.tsbuild(['push', retagged])
    assert.equal(pushed.status, 0, pushed.text)
    assert.equal((await fetchJson<Index>(host, 'several/other/manifests/1')).manifests.length, 2)
  })

  it('is an index, and a folder of its own, also when one platform is given twice, with a warning', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })
    const saved = join(lab.dir, 'saved.tar')
    const out = join(lab.dir, 'out')
    const outputs = ['-o', `type=oci,dest=${saved}`, '-o', out]
    const twice = ['--platform', 'linux/amd64,linux/x86_64', '--progress=plain']
    const built = await lab.build([...twice, ...outputs, context])
    assert.match(built.text, /Duplicate platform result requested "linux\/amd64"/)
    assert.deepEqual(await readdir(out), ['linux_amd64'])
    const { stdout } = await runCommand('tar', ['xOf', saved, 'index.json'])
    const index = JSON.parse(stdout)
    assert.match(index.manifests[0].mediaType, /image\.index/)
  })

  it('refuses a platform that is empty, and both ways of ignoring the cache at once', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })
    for (const empty of ['', 'linux/amd64,']) {
      const result = await lab.tsbuild(['build', '--platform', empty, context])
      assert.notEqual(result.status, 0)
      assert.match(result.stderr, /invalid platform: /)
    }
    const flags = ['--no-cache', '--no-cache-filter', 'made']
    const both = await lab.tsbuild(['build', ...flags, context])
    assert.notEqual(both.status, 0)
    assert.match(both.stderr, /--no-cache and --no-cache-filter cannot be used together/)
    assert.equal(
      (await lab.tsbuild(['build', '--no-cache', '--no-cache-filter', '', context])).status,
      0,
    )
  })

  it('says which emulator is missing when a step cannot run here', async () => {
    await using lab = await Lab.open()
    const header = Buffer.alloc(512)
    header.write('\x7fELF\x02\x01\x01', 0, 'latin1')
    // ET_EXEC for a machine that nobody has: 0x7fff.
    header.writeUInt16LE(2, 16)
    header.writeUInt16LE(0x7fff, 18)
    const context = await lab.context({
      Dockerfile: 'FROM scratch\nCOPY --chmod=755 sh /bin/sh\nRUN echo hi\n',
      sh: header.toString('latin1'),
    })
    const foreign = process.arch === 'arm64' ? 'linux/amd64' : 'linux/arm64'
    const result = await lab.tsbuild(['build', '--platform', foreign, context])
    assert.equal(result.status, 1)
    assert.match(result.stderr, /exit code: 126: the step is for linux\/.* qemu-user-static/)
  })
})
