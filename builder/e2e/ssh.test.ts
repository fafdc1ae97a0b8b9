import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { CLI, mustRun } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

/** A step with OpenSSH's own programs, which are those of this machine. */
async function contextWith(lab: Lab, script: readonly string[], id: string): Promise<string> {
  const { host } = await labRegistry()
  return await lab.context({
    Dockerfile: [
      `FROM ${host}/library/busybox`,
      'COPY --from=host / /',
      'COPY script /',
      `RUN --mount=type=ssh,id=${id} sh /script`,
    ].join('\n'),
    script: script.join('\n'),
  })
}

/** `ssh-add` and `ssh-keygen` with what they are linked with. */
async function opensshTree(lab: Lab): Promise<string> {
  const files = new Map<string, string>()
  for (const program of ['/usr/bin/ssh-add', '/usr/bin/ssh-keygen']) {
    files.set(program, program)
    for (const [, library = ''] of (await mustRun('ldd', [program])).stdout.matchAll(
      /(\/\S+) \(0x/g,
    )) {
      files.set(library, library)
    }
  }
  const tree = join(lab.dir, 'openssh')
  for (const file of files.values()) {
    await mustRun('cp', ['-L', '--parents', file, await directory(tree)])
  }
  await mustRun('mkdir', ['-p', join(tree, 'etc')])
  await writeFile(join(tree, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n')
  return tree
}

async function directory(path: string): Promise<string> {
  await mustRun('mkdir', ['-p', path])
  return path
}

async function newKey(lab: Lab, name: string, args: readonly string[]): Promise<string> {
  const path = join(lab.dir, name)
  await mustRun('ssh-keygen', ['-q', '-N', '', '-f', path, ...args])
  return path
}

async function fingerprint(path: string): Promise<string> {
  return (await mustRun('ssh-keygen', ['-lf', `${path}.pub`])).stdout.split(' ')[1] ?? ''
}

describe('RUN --mount=type=ssh with OpenSSH in the step', () => {
  requires('steps')
  before(function () {
    const isThere = spawnSync('ssh-add', ['-h']).error === undefined
    if (!isThere && process.env['TSBUILD_MUST_WORK'] !== '1') this.skip()
  })

  it('offers keys that were given as files, which sign and cannot be changed', async () => {
    await using lab = await Lab.open()
    const keys = await Promise.all([
      newKey(lab, 'ed', ['-t', 'ed25519']),
      newKey(lab, 'rsa', ['-t', 'rsa', '-b', '2048', '-m', 'PEM']),
      newKey(lab, 'ec', ['-t', 'ecdsa', '-b', '384', '-m', 'PKCS8']),
    ])
    const script = [
      'ssh-add -l',
      'echo text > /t',
      'for type in ed25519 rsa ecdsa; do',
      '  ssh-add -L | grep -- $type > /k.pub',
      '  rm -f /t.sig',
      '  ssh-keygen -q -Y sign -n file -f /k.pub /t',
      '  echo "me $(cat /k.pub)" > /allowed',
      '  ssh-keygen -Y verify -f /allowed -I me -n file -s /t.sig < /t || exit 1',
      'done',
      'ssh-keygen -q -t ed25519 -N "" -f /new',
      'ssh-add /new && exit 2',
      'ssh-add -D && exit 3',
      'ssh-add -d /k.pub && exit 4',
      'ssh-add -l | wc -l',
    ]
    const context = await contextWith(lab, script, 'k')
    const result = await lab.build([
      ...['--ssh', `k=${keys.join(',')}`],
      ...['--build-context', `host=${await opensshTree(lab)}`, context],
    ])
    for (const key of keys) assert.ok(result.stderr.includes(await fingerprint(key)), result.text)
    assert.equal(result.stderr.match(/Good "file" signature for me/g)?.length, 3, result.text)
    assert.match(result.stderr, / 3$/m)
    assert.deepEqual(await lab.unfinished(), [])
    for (const key of keys) {
      // The first lines of OpenSSH's format are the same for all keys.
      const [, , , line = ''] = (await readFile(key, 'utf8')).split('\n')
      assert.equal(spawnSync('grep', ['-rF', line, lab.stateRoot]).stdout.toString(), '')
    }
  })

  it('forwards an agent, which can only list and sign', async () => {
    await using lab = await Lab.open()
    const key = await newKey(lab, 'ed', ['-t', 'ed25519'])
    const script = [
      'ssh-add -l',
      'ssh-keygen -q -t ed25519 -N "" -f /new',
      'ssh-add /new',
      'ssh-add -D',
      'true',
    ]
    const context = await contextWith(lab, script, 'default')
    const args = ['build', '--progress=plain', '--ssh', 'default', '--build-context']
    const host = `host=${await opensshTree(lab)}`
    const command = `ssh-add -q ${key} && "$@"; echo status $?; ssh-add -l`
    const words = [process.execPath, CLI, ...args, host, context]
    const result = await mustRun('ssh-agent', ['sh', '-c', command, 'sh', ...words], {
      env: { ...process.env, TSBUILD_ROOT: lab.stateRoot },
    })
    assert.match(result.text, /status 0/)
    const print = await fingerprint(key)
    // In the step, and afterwards outside: nothing was added or removed.
    assert.equal(result.text.split(print).length - 1, 2, result.text)
    assert.match(result.text, /Could not add identity|agent refused operation/)
  })

  it('says what is wrong with a key before anything is done', async () => {
    await using lab = await Lab.open()
    const context = await contextWith(lab, ['true'], 'default')
    const locked = join(lab.dir, 'locked')
    await mustRun('ssh-keygen', ['-q', '-N', 'secret', '-f', locked, '-t', 'ed25519'])
    await writeFile(join(lab.dir, 'text'), 'no key')
    const cases: readonly (readonly [string, RegExp])[] = [
      ['locked', /could not use \S*locked for ssh default: this private key is passphrase prot/],
      ['text', /could not use \S*text for ssh default: it is neither a socket nor a private key/],
      ['absent', /could not use \S*absent for ssh default: no such file or directory\n$/],
    ]
    for (const [name, message] of cases) {
      const args = ['build', '--ssh', `default=${join(lab.dir, name)}`, context]
      const result = await lab.tsbuild(args)
      assert.equal(result.status, 2, result.text)
      assert.match(result.stderr, message)
    }
  })
})
