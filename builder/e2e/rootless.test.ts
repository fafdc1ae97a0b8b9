import assert from 'node:assert/strict'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { type CommandOptions, type CommandResult, mustRun } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'
import { asUserWithIds, asUserWithoutNamespaces, runIn } from './lab/places.ts'

/** Where the state of a user is who names no other place. */
const DEFAULT_ROOT = join('.local', 'share', 'tsbuild')

/** Runs the command line as an ordinary user. */
function asUser(
  lab: Lab,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return runIn(lab, asUserWithIds, args, options)
}

describe('a build by an ordinary user with subordinate ids', function () {
  this.timeout(400_000)
  requires('root', 'userns')

  it('runs steps, keeps owners in the layers and writes files the user owns', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: [
        `FROM ${host}/library/busybox`,
        'RUN id -u > /uid && touch /owned && chown 1000:1001 /owned',
        'COPY --chown=33:33 Dockerfile /copied',
        'USER 1000',
        'RUN id -u > /tmp/uid',
      ].join('\n'),
    })
    const tar = join(lab.dir, 'place', 'rootfs.tar')
    const result = await asUser(lab, ['build', '-o', `type=tar,dest=${tar}`, context])
    assert.equal(result.status, 0, result.text)
    const { stdout } = await mustRun('tar', ['--numeric-owner', '-tvf', tar])
    assert.match(stdout, /1000\/1001 .* owned$/m)
    assert.match(stdout, /33\/33 .* copied$/m)
    const out = join(lab.dir, 'place', 'out')
    assert.equal((await asUser(lab, ['build', '-o', out, context])).status, 0)
    assert.equal(await readFile(join(out, 'uid'), 'utf8'), '0\n')
    assert.equal(await readFile(join(out, 'tmp', 'uid'), 'utf8'), '1000\n')
    const left = await asUser(lab, ['prune', '-af'])
    assert.equal(left.status, 0, left.text)
  })

  it('measures and removes a cache mount that only its owner in a step may read', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const cache = '--mount=type=cache,id=private,target=/c,uid=1000,gid=1000,mode=0700'
    const context = await lab.context({
      Dockerfile: `FROM ${host}/library/busybox\nUSER 1000\nRUN ${cache} head -c 5000 /dev/zero > /c/x\n`,
    })
    const env = { TSBUILD_ROOT: '' }
    const built = await asUser(lab, ['build', context], { env })
    assert.equal(built.status, 0, built.text)
    const used = await asUser(lab, ['du', '--verbose'], { env })
    assert.match(used.stdout, /^cache-mount +true +5(\.00)?kB /m, used.text)
    const left = await asUser(lab, ['prune', '-af'], { env })
    assert.equal(left.status, 0, left.text)
    assert.deepEqual(await readdir(join(lab.dir, DEFAULT_ROOT, 'mounts')), [])
  })

  it('installs Debian packages and pushes the image', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: [
        `FROM ${host}/library/debian:bookworm`,
        'RUN apt-get update && apt-get install -y --no-install-recommends tini && tini --version',
      ].join('\n'),
    })
    const name = `${host}/rootless/apt:v1`
    const result = await asUser(lab, ['build', '--progress=plain', '-t', name, '--push', context])
    assert.equal(result.status, 0, result.text)
    await mustRun('skopeo', ['inspect', '--tls-verify=false', `docker://${name}`])
    assert.equal((await asUser(lab, ['prune', '-af'])).status, 0)
  })

  it('needs no namespace for a build that only copies', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY --chown=7:8 . /app/\n' })
    const tar = join(lab.dir, 'place', 'rootfs.tar')
    const args = ['build', '-o', `type=tar,dest=${tar}`, context]
    const result = await runIn(lab, asUserWithoutNamespaces, args)
    assert.equal(result.status, 0, result.text)
    const { stdout } = await mustRun('tar', ['--numeric-owner', '-tvf', tar])
    assert.match(stdout, /7\/8 .* app\/Dockerfile$/m)
  })

  it('writes directories that are closed to their owner, and replaces them', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: [
        `FROM ${host}/library/busybox AS made`,
        'RUN mkdir -p /r/closed/in /r/fixed && echo x > /r/closed/in/f && echo y > /r/fixed/f',
        'RUN chmod 0 /r/closed/in /r/closed && chmod 555 /r/fixed',
        'FROM scratch AS all',
        'COPY --from=made /r /',
        'FROM scratch AS few',
        'COPY --from=made /r/fixed /fixed',
      ].join('\n'),
    })
    const out = join(lab.dir, 'place', 'out')
    const tar = join(lab.dir, 'place', 'files.tar')
    const build = async (...args: string[]): Promise<void> => {
      const result = await asUser(lab, ['build', ...args, context])
      assert.equal(result.status, 0, result.text)
    }
    // Twice: the second time all of it is there.
    await build('--target', 'all', '-o', out, '-o', `type=tar,dest=${tar}`)
    await build('--target', 'all', '-o', out)
    assert.equal(await readFile(join(out, 'closed/in/f'), 'utf8'), 'x\n')
    assert.equal((await stat(join(out, 'closed'))).mode & 0o777, 0)
    const { stdout } = await mustRun('tar', ['-tvf', tar])
    assert.match(stdout, /^d--------- .* closed\/in\/$/m)
    const mirror = `type=local,dest=${out},mode=delete`
    await build('--target', 'few', '--allow', 'buildx.local.delete', '-o', mirror)
    assert.deepEqual((await readdir(out, { recursive: true })).toSorted(), ['fixed', 'fixed/f'])
    assert.equal((await asUser(lab, ['prune', '-af'])).status, 0)
  })
})
