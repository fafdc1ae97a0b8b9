import assert from 'node:assert/strict'
import { readlinkSync } from 'node:fs'
import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { requires } from '../../snapshotter/testing/requires.ts'
import { CLI, type CommandResult, runCommand } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'
import { ordinaryUser } from './lab/user.ts'

const OWN_NAMESPACE = `${readlinkSync('/proc/self/ns/net')}\n`
const RESOLVER = fileURLToPath(new URL('lab/resolver.js', import.meta.url))
const UID_WITHOUT_ACCOUNT = 61_234
const NOTICE = /^NOTE: steps use this machine's network .*$/gm

/** Builds after `script` has changed what the command sees of this machine: mounts, and with `network` the network. */
async function buildWhere(
  script: string,
  lab: Lab,
  args: readonly string[],
  {
    network = false,
    env = {},
  }: { readonly network?: boolean; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<CommandResult> {
  // What the script leaves in the background ends with the command.
  const namespaces = network ? ['-n', '-p', '-f', '--mount-proc'] : ['-m']
  const command = [process.execPath, CLI, 'build', '--progress=plain', ...args]
  return await runCommand(
    'unshare',
    [...namespaces, 'sh', '-euc', `${script}; exec "$@"`, 'sh', ...command],
    {
      env: { ...process.env, HOME: lab.dir, TSBUILD_ROOT: lab.stateRoot, ...env },
    },
  )
}

async function busybox(lines: readonly string[], lab: Lab): Promise<string> {
  const { host } = await labRegistry()
  return await lab.context({ Dockerfile: [`FROM ${host}/library/busybox`, ...lines].join('\n') })
}

describe('the network of RUN', function () {
  this.timeout(120_000)
  requires('root')

  it('is one for all steps of a build, and no other is given by host and none', async () => {
    await using lab = await Lab.open()
    const look = 'readlink /proc/self/ns/net'
    const context = await busybox(
      [
        `RUN ${look} > /one; ls /sys/class/net > /devices`,
        `RUN ${look} > /two`,
        `RUN --network=host ${look} > /host`,
        'RUN --network=none ls /sys/class/net > /none',
      ],
      lab,
    )
    const out = join(lab.dir, 'out')
    const { stderr } = await lab.build(['--allow', 'network.host', '-o', out, context])
    assert.doesNotMatch(stderr, /NOTE/)
    const read = (name: string): Promise<string> => readFile(join(out, name), 'utf8')
    assert.equal(await read('one'), await read('two'))
    assert.notEqual(await read('one'), OWN_NAMESPACE)
    assert.equal(await read('devices'), 'eth0\nlo\n')
    assert.equal(await read('host'), OWN_NAMESPACE)
    assert.equal(await read('none'), 'lo\n')
  })

  const lacks: readonly (readonly [string, string, RegExp])[] = [
    [
      'no program is installed',
      'for name in pasta slirp4netns; do mount --bind /dev/null /usr/bin/$name; done',
      /\(neither pasta \(package passt\) nor slirp4netns is installed\)/,
    ],
    [
      'there is no tap device',
      'mount -t tmpfs none /dev/net',
      /\(\/dev\/net\/tun cannot be used: ENOENT\)/,
    ],
    [
      'both programs fail',
      'mount --bind /dev/null /dev/net/tun',
      /\(pasta: .*tun.*; slirp4netns: .+\)/,
    ],
  ]
  for (const [lack, script, reason] of lacks) {
    it(`is this machine's where ${lack}, which is said once, and only when a step runs`, async () => {
      await using lab = await Lab.open()
      const look = 'readlink /proc/self/ns/net'
      const context = await busybox([`RUN ${look} > /one`, `RUN ${look} > /two`], lab)
      const out = join(lab.dir, 'out')
      const built = await buildWhere(script, lab, ['-o', out, context])
      assert.equal(built.status, 0, built.text)
      const notices = built.stderr.match(NOTICE) ?? []
      assert.equal(notices.length, 1, built.stderr)
      assert.match(notices[0] ?? '', reason)
      assert.equal(await readFile(join(out, 'two'), 'utf8'), OWN_NAMESPACE)
      const again = await buildWhere(script, lab, ['-o', out, context])
      assert.doesNotMatch(again.stderr, NOTICE)
    })
  }

  for (const program of ['pasta', 'slirp4netns']) {
    it(`asks a nameserver on the loopback of this machine by ${program}`, async () => {
      await using lab = await Lab.open()
      const context = await busybox(['RUN nslookup -type=a name.test > /answer'], lab)
      const args = ['-o', join(lab.dir, 'out'), context]
      // Afterwards the base image is in the store: there is no registry in the other network.
      await lab.build([...args, '--network=none', '--build-arg', 'x=1']).catch(() => undefined)
      const resolvConf = join(lab.dir, 'resolv.conf')
      await writeFile(resolvConf, 'nameserver 127.0.0.1\n')
      const script = [
        'ip link set lo up; ip link add t0 type veth peer name t1',
        'ip addr add 198.51.100.9/24 dev t0; ip link set t0 up; ip link set t1 up',
        'ip route add default via 198.51.100.1',
        `mount --bind ${resolvConf} /etc/resolv.conf`,
        `mkfifo ${lab.dir}/ready; ${process.execPath} ${RESOLVER} 198.51.100.77 > ${lab.dir}/ready &`,
        `read line < ${lab.dir}/ready`,
      ].join('\n')
      const env = { TSBUILD_STEP_NETWORK: program }
      const built = await buildWhere(script, lab, args, { network: true, env })
      assert.equal(built.status, 0, built.text)
      assert.match(await readFile(join(lab.dir, 'out/answer'), 'utf8'), /198\.51\.100\.77/)
    })
  }

  const users: readonly (readonly [string, () => Promise<number>])[] = [
    ['with subordinate ids', async () => (await ordinaryUser()).uid],
    ['with a single id', async () => UID_WITHOUT_ACCOUNT],
  ]
  for (const [kind, uidOf] of users) {
    it(`is also there for an ordinary user ${kind}, who may then listen on port 80`, async () => {
      // As udev leaves it; it is root's alone where nothing but the kernel made it.
      await chmod('/dev/net/tun', 0o666)
      await using lab = await Lab.open()
      const uid = await uidOf()
      const home = join(lab.dir, 'home')
      await mkdir(home)
      await chown(home, uid, uid)
      await chmod(lab.dir, 0o755)
      const serve = 'echo hello >/tmp/f; httpd -p 80 -h /tmp; wget -qO- http://127.0.0.1/f'
      const context = await busybox([`RUN ls /sys/class/net; ${serve}`], lab)
      const env = { PATH: process.env['PATH'], HOME: home }
      const asUser = async (...args: string[]): Promise<CommandResult> =>
        await runCommand(
          'setpriv',
          [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', process.execPath, CLI, ...args],
          { cwd: home, env },
        )
      const built = await asUser('build', '--progress=plain', context)
      assert.equal(built.status, 0, built.text)
      assert.match(built.stderr, / eth0\n.* lo\n.* hello\n/)
      assert.doesNotMatch(built.stderr, NOTICE)
      assert.equal((await asUser('prune', '-af')).status, 0)
    })
  }

  it('says nothing of itself with tsbuild run', async () => {
    await using lab = await Lab.open()
    await lab.build(['-t', 'looker', await busybox(['RUN true'], lab)])
    const run = ['run', 'looker', 'readlink', '/proc/self/ns/net']
    const own = await lab.tsbuild(run)
    assert.match(own.stdout, /^net:/)
    assert.notEqual(own.stdout, OWN_NAMESPACE)
    const shared = await lab.tsbuild(run, { env: { TSBUILD_STEP_NETWORK: 'host' } })
    assert.equal(shared.stdout, OWN_NAMESPACE)
    assert.doesNotMatch(own.stderr + shared.stderr, NOTICE)
  })
})
