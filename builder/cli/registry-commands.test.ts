import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  digestHex,
  OCI_MANIFEST,
  parseManifest,
  type Platform,
  serializeIndex,
  serializeManifest,
} from '../../registry-client/oci/index.ts'
import {
  TEST_CA,
  TEST_SERVER_CERT,
  TEST_SERVER_KEY,
} from '../../registry-client/testing/certificates.ts'
import { FakeRegistry } from '../../registry-client/testing/fake-registry.ts'
import { CLI, type CommandOptions, type CommandResult, runCommand } from '../e2e/lab/cli.ts'

const AMD64: Platform = { os: 'linux', architecture: 'amd64' }
const ARM64: Platform = { os: 'linux', architecture: 'arm64' }
const LAYER = Buffer.alloc(1000, 'x')
/** As Harbor makes them, and a password that a shell, a URL or a header could trip over. */
const ROBOT = { username: 'robot$team+ci', password: 'p:ä ss"$w%rd\\' }

describe('the commands about registries', () => {
  let directory = ''

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-registry-commands-'))
    await mkdir(join(directory, 'ctx'))
    await writeFile(join(directory, 'ctx/Dockerfile'), 'FROM scratch\nCOPY a /a\n')
    await writeFile(join(directory, 'ctx/a'), 'hello\n')
  })

  afterEach(() => rm(directory, { recursive: true, force: true }))

  function tsbuild(
    args: readonly string[],
    input?: string,
    onStderr?: CommandOptions['onStderr'],
  ): Promise<CommandResult> {
    return runCommand(process.execPath, [CLI, ...args], {
      cwd: directory,
      env: {
        PATH: process.env['PATH'],
        HOME: directory,
        TSBUILD_ROOT: join(directory, 'root'),
        DOCKER_CONFIG: join(directory, 'docker'),
      },
      ...(input === undefined ? {} : { input }),
      ...(onStderr === undefined ? {} : { onStderr }),
    })
  }

  async function succeeded(args: readonly string[], input?: string): Promise<string> {
    const { status, stdout, stderr } = await tsbuild(args, input)
    assert.equal(status, 0, `${args.join(' ')}: ${stderr}`)
    return stdout
  }

  async function failed(args: readonly string[], message: RegExp, input?: string): Promise<void> {
    const { status, stderr } = await tsbuild(args, input)
    assert.equal(status, 1, stderr)
    assert.match(stderr, message)
  }

  it('push all tags of a repository, and what is there only by its name', async () => {
    await using registry = await FakeRegistry.start()
    const name = `${registry.host}/team/app`
    await succeeded(['-q', '-t', `${name}:v1`, '-t', `${name}:v2`, '-t', 'other:v1', 'ctx'])
    const lines = (await succeeded(['push', '-q', '--all-tags', name])).trim().split('\n')
    const tags = registry.repository('team/app').tags
    assert.deepEqual([...tags.keys()].sort(), ['v1', 'v2'])
    assert.deepEqual(
      lines.map((line) => line.replace(/ size: \d+$/, '')).sort(),
      [...tags].map(([tag, digest]) => `${tag}: digest: ${digest}`).sort(),
    )
    await failed(['push', '--all-tags', `${registry.host}/team/none`], /the store has no tag of it/)
    registry.requests.length = 0
    await succeeded(['push', '-q', `${name}:v1`])
    assert.deepEqual(
      registry.requests.map(({ method }) => method),
      ['HEAD', 'HEAD', 'PUT'],
      'an unchanged image is asked for, layer and config, not sent',
    )
  })

  it('do not build for hours what may not be pushed', async () => {
    await using registry = await FakeRegistry.start()
    const body = '{"errors":[{"code":"DENIED","message":"read only"}]}'
    registry.script({ method: 'POST', times: 99, act: { kind: 'reply', status: 403, body } })
    // A step that waits for a layer that never comes: only the refusal ends it.
    await using bases = await FakeRegistry.start()
    const base = bases.repository('base').addImage({ layers: [LAYER], platform: AMD64, tag: 'v1' })
    const path = new RegExp(base.layers[0]?.digest ?? assert.fail())
    bases.script({ path, times: 99, act: { kind: 'hang' } })
    const stages = `FROM ${bases.host}/base:v1 AS base\nFROM scratch\nCOPY --from=base /etc/x /x\n`
    await writeFile(join(directory, 'ctx/Dockerfile'), stages)
    const build = [
      '-q',
      '--platform=linux/amd64',
      '-t',
      `${registry.host}/team/app:v1`,
      '--push',
      'ctx',
    ]
    await failed(build, /could not push .*team\/app:v1: .*DENIED: read only/)
  })

  it('copy an index, or one platform of it, to another registry', async () => {
    await using from = await FakeRegistry.start()
    await using to = await FakeRegistry.start()
    const repository = from.repository('app')
    const amd64 = repository.addImage({ layers: [LAYER], platform: AMD64 })
    const arm64 = repository.addImage({ layers: [LAYER], platform: ARM64 })
    const index = repository.addIndex([amd64.descriptor, arm64.descriptor], 'v1')
    const source = `docker://${from.host}/app:v1`
    assert.match(
      await succeeded(['copy', '-q', source, `${to.host}/copy`]),
      new RegExp(`^latest: digest: ${index.digest} size: \\d+\n$`),
    )
    await succeeded(['copy', '-q', '--platform', 'linux/arm64', source, `${to.host}/copy:arm`])
    assert.equal(to.repository('copy').find('arm')?.digest, arm64.manifest.digest)
    const raw = await succeeded(['inspect', '--raw', `docker://${to.host}/copy`])
    assert.equal(raw, Buffer.from(repository.find('v1')?.bytes ?? []).toString())
  })

  it('copy images of several platforms into one', async () => {
    await using from = await FakeRegistry.start()
    await using to = await FakeRegistry.start()
    const amd64 = from.repository('a').addImage({ layers: [LAYER], platform: AMD64, tag: 'v1' })
    const arm64 = from.repository('b').addImage({
      layers: [Buffer.alloc(500, 'y')],
      platform: ARM64,
      tag: 'v1',
    })
    const sources = [`${from.host}/a:v1`, `docker://${from.host}/b:v1`]
    const target = `${to.host}/both:v1`
    const said = await succeeded(['copy', '-q', ...sources, target])
    const repository = to.repository('both')
    const index = repository.find('v1') ?? assert.fail('no index')
    assert.match(said, new RegExp(`^v1: digest: ${index.digest} `))
    const { parsed } = { parsed: parseManifest(Buffer.from(index.bytes), undefined) }
    assert.ok(parsed.kind === 'index')
    assert.deepEqual(
      parsed.index.manifests.map(({ digest, platform }) => [digest, platform]),
      [
        [amd64.manifest.digest, AMD64],
        [arm64.manifest.digest, ARM64],
      ],
    )
    for (const { digest } of parsed.index.manifests) assert.ok(repository.find(digest))
    // An index among them: its images, and no second index around it; equal ones once.
    await succeeded(['copy', '-q', target, sources[0] ?? '', `${to.host}/again`])
    assert.equal(to.repository('again').find('latest')?.digest, index.digest)
    const other = from.repository('c').addImage({ layers: [], platform: ARM64, tag: 'v1' })
    assert.ok(other.manifest.digest !== arm64.manifest.digest)
    await failed(
      ['copy', '-q', ...sources, `${from.host}/c:v1`, target],
      /could not combine .*b:v1 and .*c:v1: both have an image for linux\/arm64\nHINT: /,
    )
    assert.equal(
      (await tsbuild(['copy', '--platform', 'linux/amd64', ...sources, target])).status,
      2,
    )
  })

  it('send only what is missing after a push was killed', async () => {
    await using from = await FakeRegistry.start()
    await using to = await FakeRegistry.start()
    const layers = [1, 2, 3, 4].map((seed) => Buffer.alloc(2000, String(seed)))
    const image = from.repository('app').addImage({ layers, platform: AMD64, tag: 'v1' })
    const [, , , last = assert.fail()] = image.layers
    to.script({
      method: 'PUT',
      path: new RegExp(`${encodeURIComponent(last.digest)}$`),
      act: { kind: 'hang' },
    })
    const args = ['copy', `${from.host}/app:v1`, `${to.host}/app:v1`]
    const killed = await tsbuild(args, undefined, (text, signal) => {
      if ((text.match(/ done$/gm) ?? []).length >= 4) signal('SIGKILL')
    })
    assert.equal(killed.signal, 'SIGKILL')
    assert.equal(to.repository('app').find('v1'), undefined)
    // The last upload may not even have begun.
    to.unscript()
    to.requests.length = 0
    await succeeded(args)
    const uploads = to.requestLines.filter((line) => /^PUT .*uploads/.test(line))
    assert.equal(uploads.length, 1)
    assert.ok(uploads[0]?.endsWith(encodeURIComponent(last.digest)))
    assert.ok(to.repository('app').find('v1'))
  })

  it('copy from a layout directory, whose links lead nowhere', async () => {
    await using registry = await FakeRegistry.start()
    const layout = 'type=oci,tar=false,dest=layout'
    await succeeded(['-q', '-t', 'app:v1', '-o', layout, 'ctx'])
    await succeeded(['copy', '-q', 'oci-layout://layout:v1', `${registry.host}/app:v1`])
    const repository = registry.repository('app')
    assert.ok(repository.find('v1'))
    const [blob] = [...repository.blobs.keys()]
    assert.ok(blob !== undefined)
    const path = join(directory, 'layout/blobs/sha256', digestHex(blob))
    await writeFile(join(directory, 'secret'), await readFile(path))
    await rm(path)
    await symlink(join(directory, 'secret'), path)
    const again = ['copy', '-q', 'oci:layout', `${registry.host}/stolen:v1`]
    await failed(again, /could not read OCI layout .*layout: blob sha256:\w+ is missing or no file/)
    await failed(['copy', 'oci:layout:v9', `${registry.host}/app`], /could not find v9 in OCI layo/)
    const entry = { mediaType: OCI_MANIFEST, digest: blob, size: -1 }
    const index = JSON.stringify({ schemaVersion: 2, manifests: [entry] })
    await writeFile(join(directory, 'layout/index.json'), index)
    await failed(
      again,
      /could not use OCI layout .*layout: index\.json: .*size must not be negative/,
    )
  })

  it('say which file makes a certificate trusted, and take it in every form', async () => {
    await using registry = await FakeRegistry.start({
      tls: { cert: TEST_SERVER_CERT, key: TEST_SERVER_KEY },
    })
    const { host } = registry
    registry.repository('app').addImage({ layers: [LAYER], platform: AMD64, tag: 'v1' })
    const inspect = ['inspect', '--raw', `docker://${host}/app:v1`]
    const advice = `signed by an unknown authority.*; put its CA .* (?:/etc/|~/\\.)docker/certs.d/${host}/ca.crt`
    await failed(inspect, new RegExp(advice))
    await writeFile(join(directory, 'ca.pem'), TEST_CA)
    await writeFile(join(directory, 'other.pem'), TEST_SERVER_CERT)
    await failed([...inspect, '--registry-ca', `${host}=other.pem`], new RegExp(advice))
    await failed([...inspect, '--registry-ca', 'none.pem'], /cannot read .*none\.pem \(ENOENT\)/)
    await succeeded([...inspect, '--registry-ca', `${host}=ca.pem`])
    await succeeded([...inspect, '--registry-ca', 'ca.pem'])
    await succeeded([...inspect, '--insecure-registry', host])
    await mkdir(join(directory, '.docker/certs.d', host), { recursive: true })
    await writeFile(join(directory, '.docker/certs.d', host, 'ca.crt'), TEST_CA)
    await succeeded(inspect)
  })

  it('log in as a robot, check before storing, and forget again', async () => {
    await using registry = await FakeRegistry.start({ auth: { kind: 'bearer', ...ROBOT } })
    registry.repository('app').addImage({ layers: [LAYER], platform: AMD64, tag: 'v1' })
    const { host } = registry
    const login = ['login', '-u', ROBOT.username, '--password-stdin', host]
    const inspect = ['inspect', '--raw', `docker://${host}/app:v1`]
    const file = join(directory, 'docker/config.json')
    await failed(login, /refused the password of "robot\$team\+ci"/, 'wrong-secret')
    const colon = await tsbuild(['login', '-u', 'a:b', '--password-stdin', host], 'x')
    assert.equal(colon.status, 2)
    assert.match(colon.stderr, /the user name has a colon/)
    await assert.rejects(readFile(file), /ENOENT/)
    await failed(inspect, new RegExp(`tsbuild login ${host}`))
    assert.match(await succeeded(login, `${ROBOT.password}\n`), /^Login Succeeded\n$/)
    assert.doesNotMatch(await readFile(file, 'utf8'), /w%rd/)
    await succeeded(inspect)
    await succeeded(['logout', host])
    await failed(inspect, /tsbuild login/)
  })

  it('pull from the mirror that the machine is configured for', async () => {
    await using mirror = await FakeRegistry.start()
    const platform = { ...AMD64, architecture: process.arch === 'x64' ? 'amd64' : process.arch }
    mirror.repository('hub/library/app').addImage({ layers: [], platform, tag: 'v1' })
    await mkdir(join(directory, '.config/containers'), { recursive: true })
    await writeFile(
      join(directory, '.config/containers/registries.conf'),
      `[[registry]]\nprefix = "docker.io"\n[[registry.mirror]]\nlocation = "${mirror.host}/hub"\n`,
    )
    const { status, stderr } = await tsbuild(['pull', 'app:v1'])
    assert.equal(status, 0, stderr)
    assert.match(stderr, new RegExp(`app comes from the mirror ${mirror.host}/hub/library/app`))
  })

  it('pull every tag of a repository', async () => {
    await using registry = await FakeRegistry.start()
    const platform = { ...AMD64, architecture: process.arch === 'x64' ? 'amd64' : process.arch }
    for (const tag of ['v1', 'v2']) {
      registry.repository('team/app').addImage({ layers: [], platform, tag })
    }
    const name = `${registry.host}/team/app`
    assert.equal(await succeeded(['pull', '-qa', name]), `${name}:v1\n${name}:v2\n`)
    assert.equal(await succeeded(['images', '--format', '{{.Tag}}', name]), 'v1\nv2\n')
    assert.equal((await tsbuild(['pull', '-a', `${name}:v1`])).status, 2)
  })

  it('list tags and remove them from a registry', async () => {
    await using registry = await FakeRegistry.start({ pageSizeMax: 2 })
    const repository = registry.repository('team/app')
    for (const [seed, tag] of ['v1', 'v2', 'v3'].entries()) {
      repository.addImage({ layers: [Buffer.alloc(10, `${seed}`)], platform: AMD64, tag })
    }
    const name = `${registry.host}/team/app`
    assert.equal(await succeeded(['tags', name]), 'v1\nv2\nv3\n')
    const removed = await succeeded(['rmi', `docker://${name}:v2`])
    assert.equal(removed, `Untagged: ${name}:v2\n`)
    assert.equal(await succeeded(['tags', `docker://${name}`]), 'v1\nv3\n')
    const digest = repository.find('v3')?.digest
    await succeeded(['rmi', `docker://${name}@${digest}`])
    assert.equal(repository.find(digest ?? ''), undefined)
    await failed(['rmi', `docker://${name}:v9`], /could not delete .*:v9: .* 404/)
    assert.equal(await succeeded(['rmi', '-f', `docker://${name}:v9`]), '')
    assert.equal((await tsbuild(['rmi', `docker://${name}`])).status, 2)
    assert.equal((await tsbuild(['tags', `${name}:v1`])).status, 2)
  })

  it('say how to remove an image where tags cannot be removed', async () => {
    await using registry = await FakeRegistry.start()
    const repository = registry.repository('app')
    const { manifest } = repository.addImage({ layers: [LAYER], platform: AMD64, tag: 'v1' })
    const body = '{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}'
    registry.script({ method: 'DELETE', act: { kind: 'reply', status: 405, body } })
    const advice = `tsbuild rmi docker://${registry.host}/app@${manifest.digest}`
    await failed(
      ['rmi', `docker://${registry.host}/app:v1`],
      new RegExp(`UNSUPPORTED.*\n.*${advice}`),
    )
    assert.ok(repository.find('v1'))
  })

  it('copy signatures from a layout, when they are asked for', async () => {
    await using from = await FakeRegistry.start()
    await using to = await FakeRegistry.start()
    await succeeded(['-q', '-t', 'app:v1', '-o', 'type=oci,tar=false,dest=layout', 'ctx'])
    const index: unknown = JSON.parse(await readFile(join(directory, 'layout/index.json'), 'utf8'))
    const manifests = parseManifest(Buffer.from(JSON.stringify(index)), undefined)
    assert.ok(manifests.kind === 'index')
    const [subject = assert.fail()] = manifests.index.manifests
    const blob = from.repository('x').addBlob(Buffer.from('signature'))
    const { mediaType, digest, sizeBytes } = subject
    const signature = serializeManifest({
      mediaType: OCI_MANIFEST,
      config: blob,
      layers: [blob],
      subject: { mediaType, digest, sizeBytes },
    })
    const entry = {
      mediaType: OCI_MANIFEST,
      digest: signature.digest,
      sizeBytes: signature.bytes.byteLength,
    }
    const blobs = join(directory, 'layout/blobs/sha256')
    await writeFile(join(blobs, digestHex(blob.digest)), 'signature')
    await writeFile(join(blobs, digestHex(signature.digest)), signature.bytes)
    const more = serializeIndex({ ...manifests.index, manifests: [subject, entry] })
    await writeFile(join(directory, 'layout/index.json'), more.bytes)
    const target = `${to.host}/app:v1`
    await succeeded(['copy', '-q', 'oci:layout:v1', target])
    assert.equal(to.repository('app').find(signature.digest), undefined)
    await succeeded(['copy', '-q', '--referrers', 'oci:layout:v1', target])
    assert.ok(to.repository('app').find(signature.digest))
  })
})
