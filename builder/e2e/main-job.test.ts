import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { validateImage } from '../image/testing/validate-image.ts'
import { mustRun, PROJECT } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'
import { type Container, runBundle } from './lab/runc.ts'

const NODE_APP = join(PROJECT, 'fixtures', 'contexts', 'node-app')

describe('a real Node project', function () {
  this.timeout(600_000)
  requires('root')

  it('is built, pushed to a real registry, and served by other tools', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const name = `${host}/team/node-app:v1`
    const metadata = join(lab.dir, 'metadata.json')
    const args = ['-t', name, '--push', '--metadata-file', metadata]
    args.push('--build-arg', `REGISTRY=${host}/library`, '--build-arg', 'VERSION=1.2.3', NODE_APP)
    await lab.build(args, { timeoutMs: 500_000 })

    const inspected = JSON.parse(
      (await mustRun('skopeo', ['inspect', '--tls-verify=false', `docker://${name}`])).stdout,
    )
    const written = JSON.parse(await readFile(metadata, 'utf8'))
    assert.equal(inspected.Digest, written['containerimage.digest'])
    assert.equal(inspected.Labels['org.opencontainers.image.version'], '1.2.3')

    const layout = join(lab.dir, 'layout')
    const copy = ['--insecure-policy', 'copy', '--src-tls-verify=false', `docker://${name}`]
    await mustRun('skopeo', [...copy, `oci:${layout}:v1`])
    const [image] = await validateImage(layout)
    assert.equal(image?.manifestDigest, inspected.Digest)
    const bundle = join(lab.dir, 'bundle')
    await mustRun('umoci', ['unpack', '--image', `${layout}:v1`, bundle])

    await using container: Container = await runBundle(bundle, lab.dir)
    const port = await container.line(/listening on (\d+)/)
    assert.equal(
      await (await fetch(`http://127.0.0.1:${port}/`)).text(),
      'uid 1500 serves node-app\n',
    )
    const zones = JSON.parse(await (await fetch(`http://127.0.0.1:${port}/zones`)).text())
    assert.ok(zones.count > 100, `only ${zones.count} zones`)

    const again = await lab.build(args)
    assert.doesNotMatch(again.stderr, /DONE [0-9.]+s[\s\S]*npm ci[\s\S]*added/)
    assert.equal(again.stderr.match(/added \d+ packages/), null)
  })

  it('sends nothing twice when it is pushed again', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: `FROM ${host}/library/busybox\nRUN head -c 1000000 /dev/urandom > /data\n`,
    })
    const name = `${host}/team/push-twice`
    await lab.build(['-t', `${name}:1`, '--push', context])
    const { stderr } = await lab.build(['-t', `${name}:2`, '--push', context])
    assert.match(stderr, /already exists/)
    const inspect = async (tag: string): Promise<string> =>
      (
        await mustRun('skopeo', [
          'inspect',
          '--raw',
          '--tls-verify=false',
          `docker://${name}:${tag}`,
        ])
      ).stdout
    assert.equal(await inspect('1'), await inspect('2'))
  })
})

describe('interchange with other tools', function () {
  this.timeout(300_000)
  requires('root')

  it('writes an oci archive that skopeo copies and umoci and runc run', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: `FROM ${host}/library/busybox\nRUN echo inside > /told\nCMD ["cat", "/told"]\n`,
    })
    const archive = join(lab.dir, 'image.tar')
    await lab.build(['-t', 'told:v1', '-o', `type=oci,dest=${archive}`, context])
    assert.equal((await validateImage(archive)).length, 1)
    const layout = join(lab.dir, 'layout')
    await mustRun('skopeo', [
      '--insecure-policy',
      'copy',
      `oci-archive:${archive}`,
      `oci:${layout}:x`,
    ])
    const bundle = join(lab.dir, 'bundle')
    await mustRun('umoci', ['unpack', '--image', `${layout}:x`, bundle])
    await using container = await runBundle(bundle, lab.dir)
    assert.equal(await container.line(/(inside)/), 'inside')
  })

  it('writes a docker archive that skopeo reads with its tag', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\nENV A=b\n' })
    const archive = join(lab.dir, 'image.tar')
    await lab.build(['-t', 'example.com/team/app:v2', '-o', `type=docker,dest=${archive}`, context])
    const [image] = await validateImage(archive)
    assert.ok(image?.names.includes('example.com/team/app:v2'), image?.names.join())
    const source = `docker-archive:${archive}:example.com/team/app:v2`
    const { stdout } = await mustRun('skopeo', ['inspect', '--config', source])
    assert.deepEqual(JSON.parse(stdout).config.Env.at(-1), 'A=b')
  })

  it('builds on what skopeo pushed and runs what it built', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: `FROM ${host}/library/busybox\nENV WHO=you\nCMD ["sh", "-c", "echo hello $WHO; exit 7"]\n`,
    })
    await lab.build(['-t', 'greet', context])
    const result = await lab.tsbuild(['run', '--rm', 'greet'])
    assert.equal(result.stdout, 'hello you\n')
    assert.equal(result.status, 7)
  })

  const forms = [
    ['type=oci', 'tar'],
    ['type=oci,compression=zstd,compression-level=3', 'tar'],
    ['type=oci,compression=uncompressed,oci-mediatypes=false', 'tar'],
    ['type=oci,compression=zstd,force-compression=true', 'tar'],
    ['type=docker', 'tar'],
    ['type=oci,tar=false', 'directory'],
  ] as const
  for (const [form, kind] of forms) {
    it(`writes with ${form} what every digest, size and diffId proves`, async () => {
      await using lab = await Lab.open()
      const { host } = await labRegistry()
      const context = await lab.context({ Dockerfile: everyInstruction(host), 'a b.txt': 'ä' })
      const dest = join(lab.dir, kind)
      await lab.build(['-t', 'team/all:v1', '-o', `${form},dest=${dest}`, context])
      const [image] = await validateImage(dest, zstdHash)
      assert.deepEqual(image?.config.config.Cmd, ['-c', 'true'])
      assert.equal(image.config.config.User, '1000:1001')
      const transport = form.startsWith('type=docker') ? 'docker-archive' : 'oci'
      const source = `${transport}${transport === 'oci' && kind === 'tar' ? '-archive' : ''}:${dest}`
      const copied = join(lab.dir, 'copied')
      await mustRun('skopeo', ['--insecure-policy', 'copy', source, `oci:${copied}:v1`])
      await validateImage(copied, zstdHash)
      // Debian's umoci knows no zstd.
      if (form.includes('zstd')) return
      await mustRun('umoci', ['unpack', '--image', `${copied}:v1`, join(lab.dir, 'bundle')])
      const rootfs = join(lab.dir, 'bundle', 'rootfs')
      assert.equal(await readFile(join(rootfs, 'w', 'a b.txt'), 'utf8'), 'ä')
      assert.equal(await readFile(join(rootfs, 'w', 'from-run'), 'utf8'), '1000\n')
    })
  }
})

/** A Dockerfile with every instruction that leaves a trace. */
function everyInstruction(host: string): string {
  return [
    `ARG BASE=${host}/library/busybox`,
    'FROM $BASE AS made',
    'RUN mkdir /made && echo x > /made/x && ln /made/x /made/y && ln -s x /made/z && mkfifo /made/p',
    'FROM $BASE',
    'LABEL a=b c="d e"',
    'ENV A=1 PATH=/w:$PATH',
    'WORKDIR /w',
    'COPY --chown=1000:1001 --chmod=640 ["a b.txt", "."]',
    'COPY --from=made --link /made /linked/',
    'ADD --chown=7 a*.txt /added/',
    'COPY <<END /w/script',
    'echo heredoc',
    'END',
    'RUN chown 1000:1001 /w && rm -r /bin/vi && touch -d 1999-01-01 /w/old',
    'USER 1000:1001',
    'RUN id -u > from-run',
    'EXPOSE 80 53/udp',
    'VOLUME /data',
    'STOPSIGNAL SIGQUIT',
    'SHELL ["/bin/sh", "-ec"]',
    'HEALTHCHECK --interval=5s CMD true',
    'ONBUILD RUN true',
    'ENTRYPOINT ["/bin/sh"]',
    'CMD ["-c", "true"]',
  ].join('\n')
}

/** Node 20 has no zstd of its own. */
async function zstdHash(path: string): Promise<string> {
  const script = 'zstd -dcq "$1" | sha256sum | cut -d" " -f1'
  const { stdout } = await mustRun('bash', ['-o', 'pipefail', '-c', script, 'bash', path])
  return `sha256:${stdout.trim()}`
}
