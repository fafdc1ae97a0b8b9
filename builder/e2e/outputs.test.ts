import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mustRun } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'

describe('several outputs of one build', () => {
  it('are told by the image that is written, not by the files beside it', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })
    const metadata = join(lab.dir, 'metadata.json')
    const layout = join(lab.dir, 'layout')
    const files = ['-o', join(lab.dir, 'files')]
    const image = ['-o', `type=oci,dest=${layout},tar=false,name=a:1,compression=zstd`]
    for (const outputs of [
      [...files, ...image],
      [...image, ...files],
    ]) {
      await lab.build([...outputs, '--metadata-file', metadata, context])
      const told = JSON.parse(await readFile(metadata, 'utf8'))
      const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8'))
      assert.equal(told['containerimage.digest'], index.manifests[0].digest)
      assert.equal(told['containerimage.descriptor'].size, index.manifests[0].size)
      assert.equal(told['image.name'], 'docker.io/library/a:1')
    }
  })
})

describe('the metadata of a build', () => {
  it('has its warnings when they are asked for', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch AS a\nMAINTAINER me\n' })
    const metadata = join(lab.dir, 'metadata.json')
    const told = async (env: Record<string, string>): Promise<string[] | undefined> => {
      await lab.build(['--metadata-file', metadata, context], { env })
      const json = JSON.parse(await readFile(metadata, 'utf8'))
      const warnings: { short: string; vertex: string }[] | undefined =
        json['buildx.build.warnings']
      return warnings?.map(
        ({ short }) => Buffer.from(short, 'base64').toString().split(':')[0] ?? '',
      )
    }
    assert.equal(await told({}), undefined)
    assert.deepEqual(await told({ BUILDX_METADATA_WARNINGS: '1' }), ['MaintainerDeprecated'])
  })
})

describe('outputs to what is open', () => {
  it('are written there, and nothing is replaced', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })
    const command = `tsbuild -q -o type=tar,dest=/dev/fd/3 --metadata-file /dev/fd/4 "$0" 3>tar 4>told`
    const { stdout: id } = await mustRun('sh', ['-c', command, context], {
      cwd: lab.dir,
      env: await lab.scriptEnv(),
    })
    const told = JSON.parse(await readFile(join(lab.dir, 'told'), 'utf8'))
    assert.equal(`${told['containerimage.config.digest']}\n`, id)
    const { stdout: names } = await mustRun('tar', ['-tf', join(lab.dir, 'tar')])
    assert.equal(names, 'Dockerfile\n')
  })

  it('reach stdout although it is a socket', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })
    const told = await lab.build(['--iidfile', '/dev/stdout', context])
    assert.match(told.stdout, /^sha256:[0-9a-f]{64}$/)
    const tar = await lab.build(['-o', 'type=tar,dest=/dev/stdout', context])
    assert.match(tar.stdout, /^Dockerfile\0/)
  })
})

describe('an image that is pushed by digest', () => {
  it('takes no tag from another one', async () => {
    await using lab = await Lab.open()
    const dockerfile = 'FROM scratch\nCOPY Dockerfile /\n'
    const first = await lab.context({ Dockerfile: dockerfile }, 'first')
    const second = await lab.context({ Dockerfile: `${dockerfile}LABEL second=\n` }, 'second')
    const metadata = join(lab.dir, 'metadata.json')
    const { stdout: id } = await lab.tsbuild(['build', '-q', '-t', 'reg.example/a', first])
    const output = 'type=image,name=reg.example/a,push-by-digest=true,push=false'
    await lab.build(['-o', output, '--metadata-file', metadata, second])

    const told = JSON.parse(await readFile(metadata, 'utf8'))
    assert.equal(told['image.name'], 'reg.example/a')
    const idOf = async (name: string): Promise<unknown> =>
      JSON.parse((await lab.tsbuild(['inspect', name])).stdout)[0].Id
    assert.equal(`${await idOf('reg.example/a')}\n`, id)
    const byDigest = `reg.example/a@${told['containerimage.digest']}`
    assert.equal(await idOf(byDigest), told['containerimage.config.digest'])
  })
})
