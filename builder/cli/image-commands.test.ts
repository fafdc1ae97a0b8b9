import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { validateImage } from '../image/testing/validate-image.ts'

const MAIN = fileURLToPath(new URL('main.js', import.meta.url))

describe('the image commands', () => {
  let directory = ''
  const tsbuild = (
    args: readonly string[],
    root = 'root',
  ): { status: number | null; stdout: string; stderr: string } => {
    const env = { ...process.env, TSBUILD_ROOT: join(directory, root), DOCKER_HOST: '' }
    return spawnSync(process.execPath, [MAIN, ...args], { cwd: directory, env, encoding: 'utf8' })
  }
  const succeeded = (args: readonly string[], root?: string): string => {
    const { status, stdout, stderr } = tsbuild(args, root)
    assert.equal(status, 0, `${args.join(' ')}: ${stderr}`)
    return stdout
  }

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'tsbuild-commands-'))
    mkdirSync(join(directory, 'ctx'))
    writeFileSync(
      join(directory, 'ctx/Dockerfile'),
      'FROM scratch\nCOPY a /a\nLABEL who=me\nCMD ["/a"]\n',
    )
    writeFileSync(join(directory, 'ctx/a'), 'hello\n')
    succeeded(['-t', 'app:v1', '-q', 'ctx'])
  })
  after(() => rmSync(directory, { recursive: true, force: true }))

  it('list, tag, inspect and remove images as docker does', () => {
    succeeded(['tag', 'app:v1', 'reg.example:5000/team/app:v2'])
    assert.equal(
      succeeded(['images', '--format', '{{.Repository}}:{{.Tag}}']),
      'app:v1\nreg.example:5000/team/app:v2\n',
    )
    const id = succeeded(['inspect', '-f', '{{.Id}}', 'app:v1']).trim()
    assert.match(id, /^sha256:[a-f0-9]{64}$/)
    assert.equal(succeeded(['images', '-q', '--no-trunc', '--filter', 'label=who=me']), `${id}\n`)
    const [object] = JSON.parse(succeeded(['inspect', id.slice(7, 19)])) as [
      { RepoTags: string[]; Config: { Labels: object } },
    ]
    assert.deepEqual(object.RepoTags, ['app:v1', 'reg.example:5000/team/app:v2'])
    assert.deepEqual(object.Config.Labels, { who: 'me' })
    assert.match(succeeded(['history', 'app:v1']), /COPY a \/a # buildkit/)
    assert.equal(tsbuild(['rmi', id.slice(7, 19)]).status, 1)
    assert.equal(
      succeeded(['rmi', 'reg.example:5000/team/app:v2']),
      'Untagged: reg.example:5000/team/app:v2\n',
    )
    assert.match(tsbuild(['inspect', 'none']).stderr, /could not find image/)
  })

  it('take a name with a digest for nothing but the image of that digest', () => {
    const digest = succeeded(['images', '--format', '{{.Digest}}', 'app:v1']).trim()
    const id = succeeded(['inspect', '-f', '{{.Id}}', 'app:v1'])
    succeeded(['tag', 'app:v1', 'app:latest'])
    assert.equal(succeeded(['inspect', '-f', '{{.Id}}', `app@${digest}`]), id)
    assert.equal(succeeded(['inspect', '-f', '{{.Id}}', `app:v1@${digest}`]), id)
    const other = `sha256:${'0'.repeat(64)}`
    for (const name of [`app@${other}`, `app:v1@${other}`]) {
      const { status, stderr } = tsbuild(['inspect', name])
      assert.equal(status, 1, name)
      assert.match(stderr, /could not find image app/)
    }
    succeeded(['rmi', 'app:latest'])
  })

  it('remove one name though it could be an id', () => {
    succeeded(['tag', 'app:v1', 'cafe'])
    assert.equal(succeeded(['rmi', 'cafe']), 'Untagged: cafe:latest\n')
    assert.match(succeeded(['images', '--format', '{{.Repository}}:{{.Tag}}']), /^app:v1$/m)
  })

  it('list images by what they are, and by whether they are older than another', () => {
    for (const [tag, epoch] of [
      ['old', 1000],
      ['new', 2000],
    ]) {
      succeeded(['-q', '-t', `aged:${tag}`, '--build-arg', `SOURCE_DATE_EPOCH=${epoch}`, 'ctx'])
    }
    const listed = (...filters: string[]): string =>
      succeeded([
        'images',
        '--format',
        '{{.Tag}}',
        ...['reference=aged', ...filters].flatMap((filter) => ['-f', filter]),
      ])
    assert.equal(listed(), 'new\nold\n')
    assert.equal(listed('before=aged:new'), 'old\n')
    assert.equal(listed('since=aged:old'), 'new\n')
    assert.equal(listed('since=aged:new'), '')
    assert.equal(listed('dangling=true'), '')
    assert.equal(tsbuild(['images', '-f', 'before=none']).status, 1)
    for (const filter of ['frob=1', 'dangling=maybe', 'reference']) {
      assert.equal(tsbuild(['images', '-f', filter]).status, 2, filter)
    }
    succeeded(['rmi', 'aged:old', 'aged:new'])
  })

  it('save and load images, in the form of docker and as an OCI layout', async () => {
    for (const format of ['docker-archive', 'oci-archive']) {
      succeeded(['save', '--format', format, '-o', `${format}.tar`, 'app:v1'])
      const [image] = await validateImage(join(directory, `${format}.tar`))
      assert.deepEqual(image?.names, ['docker.io/library/app:v1'])
      assert.equal(succeeded(['load', '-i', `${format}.tar`], format), 'Loaded image: app:v1\n')
      assert.equal(succeeded(['images', '-q'], format), succeeded(['images', '-q', 'app']))
    }
  })

  it('load the older archives of docker save, which have no manifest', () => {
    spawnSync('mkdir', ['-p', join(directory, 'old')])
    spawnSync('tar', ['-xf', join(directory, 'docker-archive.tar'), '-C', join(directory, 'old')])
    const [entry] = JSON.parse(readFileSync(join(directory, 'old/manifest.json'), 'utf8')) as [
      { Config: string; Layers: string[] },
    ]
    rmSync(join(directory, 'old/index.json'))
    rmSync(join(directory, 'old/oci-layout'))
    spawnSync('tar', ['-czf', join(directory, 'old.tgz'), '-C', join(directory, 'old'), '.'])
    assert.equal(succeeded(['load', '-i', 'old.tgz'], 'old-root'), 'Loaded image: app:v1\n')
    const id = succeeded(['inspect', '-f', '{{.Id}}', 'app:v1'], 'old-root').trim()
    assert.equal(`blobs/sha256/${id.slice('sha256:'.length)}`, entry.Config)
  })

  it('refuse archives whose links lead outside', () => {
    mkdirSync(join(directory, 'evil'))
    writeFileSync(join(directory, 'secret'), '{"manifests":[]}')
    spawnSync('ln', ['-s', join(directory, 'secret'), join(directory, 'evil/index.json')])
    spawnSync('tar', [
      '-cf',
      join(directory, 'evil.tar'),
      '-C',
      join(directory, 'evil'),
      'index.json',
    ])
    const { status, stderr } = tsbuild(['load', '-i', 'evil.tar'], 'evil-root')
    assert.equal(status, 1, stderr)
    assert.match(stderr, /could not load/)
  })

  it('say what is no image archive', () => {
    writeFileSync(join(directory, 'text'), 'hello')
    const { status, stderr } = tsbuild(['load', '-i', 'text'])
    assert.equal(status, 1)
    assert.match(stderr, /ERROR: could not/)
    const missing = tsbuild(['load', '-i', 'nope'])
    assert.equal(missing.stderr, 'ERROR: could not load nope: no such file or directory\n')
  })

  it('free what only cache needs and keep named images', () => {
    succeeded(['build', '-q', '--build-arg', 'X=1', '-t', 'app:v1', '--label', 'other=1', 'ctx'])
    const usage = JSON.parse(succeeded(['du', '--format', 'json'])) as {
      totalBytes: number
      records: { type: string }[]
    }
    assert.ok(usage.totalBytes > 0)
    assert.ok(usage.records.some(({ type }) => type === 'step'))
    assert.equal(tsbuild(['prune']).status, 2)
    assert.match(succeeded(['prune', '-a', '-f']), /Total reclaimed space: /)
    assert.equal(succeeded(['images', '--format', '{{.Repository}}:{{.Tag}}']), 'app:v1\n')
    succeeded(['save', '-o', 'after.tar', 'app:v1'])
    succeeded(['rmi', 'app:v1'])
    succeeded(['prune', '-a', '-f'])
    assert.deepEqual(readdirSync(join(directory, 'root/blobs/sha256')), [])
  })
}).timeout(120_000)
