import assert from 'node:assert/strict'
import { chown, mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { CLI, type CommandOptions, type CommandResult, mustRun, runCommand } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'
import { type OrdinaryUser, ordinaryUser } from './lab/user.ts'

/** Runs the command line as an ordinary user whose state root is in its own folder of the lab. */
async function asUser(
  lab: Lab,
  user: OrdinaryUser,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const home = join(lab.dir, 'home')
  await mkdir(home, { recursive: true })
  await chown(lab.dir, user.uid, user.gid)
  await chown(home, user.uid, user.gid)
  const env = { PATH: process.env['PATH'], HOME: home, LC_ALL: 'C', USER: user.name }
  const ids = [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups']
  return await runCommand('setpriv', [...ids, process.execPath, CLI, ...args], {
    cwd: lab.dir,
    timeoutMs: 300_000,
    ...options,
    env: { ...env, ...options.env },
  })
}

describe('a build by an ordinary user with subordinate ids', function () {
  this.timeout(400_000)
  requires('root', 'userns')

  it('runs steps, keeps owners in the layers and writes files the user owns', async () => {
    await using lab = await Lab.open()
    const user = await ordinaryUser()
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
    const tar = join(lab.dir, 'rootfs.tar')
    const result = await asUser(lab, user, ['build', '-o', `type=tar,dest=${tar}`, context])
    assert.equal(result.status, 0, result.text)
    const { stdout } = await mustRun('tar', ['--numeric-owner', '-tvf', tar])
    assert.match(stdout, /1000\/1001 .* owned$/m)
    assert.match(stdout, /33\/33 .* copied$/m)
    const out = join(lab.dir, 'home', 'out')
    assert.equal((await asUser(lab, user, ['build', '-o', out, context])).status, 0)
    assert.equal(await readFile(join(out, 'uid'), 'utf8'), '0\n')
    assert.equal(await readFile(join(out, 'tmp', 'uid'), 'utf8'), '1000\n')
    const left = await asUser(lab, user, ['prune', '-af'])
    assert.equal(left.status, 0, left.text)
  })

  it('measures and removes a cache mount that only its owner in a step may read', async () => {
    await using lab = await Lab.open()
    const user = await ordinaryUser()
    const { host } = await labRegistry()
    const cache = '--mount=type=cache,id=private,target=/c,uid=1000,gid=1000,mode=0700'
    const context = await lab.context({
      Dockerfile: `FROM ${host}/library/busybox\nUSER 1000\nRUN ${cache} head -c 5000 /dev/zero > /c/x\n`,
    })
    const built = await asUser(lab, user, ['build', context])
    assert.equal(built.status, 0, built.text)
    const used = await asUser(lab, user, ['du', '--verbose'])
    assert.match(used.stdout, /^cache-mount +true +5(\.00)?kB /m, used.text)
    const left = await asUser(lab, user, ['prune', '-af'])
    assert.equal(left.status, 0, left.text)
    const mounts = join(lab.dir, 'home', '.local', 'share', 'tsbuild', 'mounts')
    assert.deepEqual(await readdir(mounts), [])
  })

  it('installs Debian packages and pushes the image', async () => {
    await using lab = await Lab.open()
    const user = await ordinaryUser()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: [
        `FROM ${host}/library/debian:bookworm`,
        'RUN apt-get update && apt-get install -y --no-install-recommends tini && tini --version',
      ].join('\n'),
    })
    const name = `${host}/rootless/apt:v1`
    const result = await asUser(lab, user, [
      'build',
      '--progress=plain',
      '-t',
      name,
      '--push',
      context,
    ])
    assert.equal(result.status, 0, result.text)
    await mustRun('skopeo', ['inspect', '--tls-verify=false', `docker://${name}`])
    assert.equal((await asUser(lab, user, ['prune', '-af'])).status, 0)
  })

  it('needs no namespace for a build that only copies', async () => {
    await using lab = await Lab.open()
    const user = await ordinaryUser()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY --chown=7:8 . /app/\n' })
    const tar = join(lab.dir, 'rootfs.tar')
    const args = ['build', '-o', `type=tar,dest=${tar}`, context]
    // A child user namespace that allows no further ones, without capabilities: whatever needs either fails there.
    const script =
      'echo 0 > /proc/sys/user/max_user_namespaces && ' +
      'exec setpriv --bounding-set=-all --inh-caps=-all "$@"'
    await chown(lab.dir, user.uid, user.gid)
    const wrapped = ['--user', '--map-root-user', 'sh', '-c', script, 'sh', process.execPath, CLI]
    const result = await runCommand('unshare', [...wrapped, ...args], {
      uid: user.uid,
      gid: user.gid,
      cwd: lab.dir,
      env: { PATH: process.env['PATH'], HOME: lab.dir, TSBUILD_ROOT: join(lab.dir, 'state') },
    })
    assert.equal(result.status, 0, result.text)
    const { stdout } = await mustRun('tar', ['--numeric-owner', '-tvf', tar])
    assert.match(stdout, /7\/8 .* app\/Dockerfile$/m)
  })
})
