import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readContents } from '../../snapshotter/index.ts'
import { requires } from '../../snapshotter/testing/requires.ts'
import { readHostFacts } from '../sandbox/host-facts.ts'
import { SandboxLab } from './testing/sandbox-lab.ts'

const PLAIN = { hasSysAdmin: false, userNamespacesMax: 0 } as const
const never = new AbortController().signal

describe('the worker of container root that may make no namespaces', function () {
  this.timeout(60_000)
  requires('root')
  let lab: SandboxLab
  before(async () => {
    lab = await SandboxLab.open({ ...readHostFacts(), ...PLAIN })
  })
  after(async () => {
    // There is none where the tests are skipped.
    await lab?.[Symbol.asyncDispose]()
  })

  async function entriesOf(script: string): Promise<string[]> {
    const to = { path: lab.path() }
    const made = await lab.run(script, { network: 'default', commitTo: to.path })
    assert.equal(made.exitCode, 0, made.stderr)
    const packed = { output: lab.path(), contents: lab.path() }
    const rest = { parentContents: [], level: undefined }
    await lab.worker.packRun(
      { ...packed, ...rest, diff: made.diff ?? '', compression: 'gzip' },
      never,
    )
    const entries: string[] = []
    for await (const batch of readContents(packed.contents)) {
      for (const entry of batch) {
        const owner = 'uid' in entry ? ` ${entry.uid}:${entry.gid}` : ''
        entries.push(`${entry.type} ${entry.path}${owner}`)
      }
    }
    return entries
  }

  it('keeps what a failed command wrote, to run over it again', async () => {
    const kept = { path: lab.path() }
    const failed = await lab.run('echo one > /f; rm /bin/vi; exit 4', {
      network: 'default',
      keepFailedIn: kept.path,
    })
    assert.deepEqual(failed.failedFiles, { sizeBytes: 4 })
    const look = { network: 'default', layers: [lab.base, kept] } as const
    const seen = await lab.run('cat /f; [ -e /bin/vi ] || echo gone', look)
    assert.equal(seen.stdout, 'one\ngone\n', seen.stderr)
  })

  it('says what is missing', () => {
    const { rung, driver, notice } = lab.worker.info
    assert.deepEqual([rung, driver], ['no-namespaces', 'copy'])
    assert.match(notice ?? '', /by chroot only.*no \/proc.*max_user_namespaces is 0.*sysctl/)
  })

  it('runs a step in its root and finds only what the step changed', async () => {
    assert.deepEqual(
      await entriesOf(
        'echo 1 > /tmp/a; chown 5:6 /tmp/a; rm /bin/vi; echo x > /dev/null; cat /etc/hosts',
      ),
      [
        ...['dir bin 0:0', 'whiteout bin/vi', 'dir dev 0:0', 'dir proc 0:0', 'dir sys 0:0'],
        ...['dir tmp 0:0', 'file tmp/a 5:6'],
      ],
    )
    const asUser = await lab.run('id -u; id -G', { network: 'default', user: 'app' })
    assert.equal(asUser.stdout, '1000\n1001 10 29\n')
  })

  it('moves mounts in and back, secrets out of reach, and leaves no trace of them', async () => {
    const cache = lab.path()
    await mkdir(join(cache, 'fs'), { recursive: true })
    const to = { path: lab.path() }
    const result = await lab.run(
      'cat /run/s /deep/er/f; echo kept > /cache/in; rm -rf /cache; ls -a /t',
      {
        network: 'default',
        commitTo: to.path,
        mounts: [
          {
            type: 'directory',
            target: '/cache',
            directory: join(cache, 'fs'),
            source: '/',
            isReadonly: false,
          },
          {
            type: 'file',
            target: '/run/s',
            content: Buffer.from('secret\n'),
            mode: 0o400,
            uid: 0,
            gid: 0,
          },
          {
            type: 'layers',
            target: '/deep/er',
            layers: [lab.base],
            source: '/etc',
            isReadonly: true,
          },
          { type: 'tmpfs', target: '/t', sizeBytes: undefined },
        ].map((mount) => mount as never),
      },
    )
    assert.match(result.stderr, /deep\/er\/f/)
    assert.equal(result.exitCode, 0, result.stderr)
    assert.match(result.stdout, /^secret\n\.\n\.\.\n/)
    assert.deepEqual(await readdir(cache), ['fs'])
    assert.deepEqual(await readdir(join(to.path, 'fs')), ['dev', 'proc', 'sys'])
  })

  it('gives each step a /dev of its own, of which nothing is left', async () => {
    const to = { path: lab.path() }
    const made = await lab.run(
      'ls /dev | tr "\\n" " "; stat -c %a /dev/shm; echo 1 > /dev/y; echo 2 > /dev/shm/x; rm /dev/null; echo 3 > /dev/null',
      { network: 'default', commitTo: to.path },
    )
    assert.equal(made.stdout, 'full null random shm tty urandom zero 1777\n', made.stderr)
    assert.deepEqual(await readdir(join(to.path, 'fs/dev')), [])
    const next = await lab.run('ls /dev /dev/shm | grep -x "[xy]"; test -c /dev/null', {
      layers: [lab.base, to],
      network: 'default',
    })
    assert.deepEqual([next.exitCode, next.stdout], [0, ''], next.stderr)
  })

  it('begins a mounted file or directory of a cache anew when the step removes it', async () => {
    const cache = lab.path()
    await mkdir(join(cache, 'sub'), { recursive: true })
    await writeFile(join(cache, 'file'), 'content')
    const mounts = ['sub', 'file'].map((source) => ({
      ...{ type: 'directory' as const, target: `/${source}`, directory: cache, source },
      isReadonly: false,
    }))
    const removed = await lab.run('rm -r /sub /file', { network: 'default', mounts })
    assert.equal(removed.exitCode, 0, removed.stderr)
    assert.deepEqual(await readdir(join(cache, 'sub')), [])
    assert.equal(await readFile(join(cache, 'file'), 'utf8'), '')
  })

  it('kills what a step leaves in the background', async () => {
    const mark = `${process.pid}.5`
    await lab.run(`sleep 9${mark} & (setsid sleep 9${mark} &) ; true`, { network: 'default' })
    assert.notEqual(spawnSync('pgrep', ['-f', `^sleep 9${mark}$`]).status, 0)
  })

  it('cannot leave the root by another chroot, nor go without network', async () => {
    const out = await lab.run('mkdir /x; chroot /x true', { network: 'default' })
    assert.match(out.stderr, /chroot: .*(not permitted|Operation)/)
    await assert.rejects(lab.run('true'), {
      code: 'sandbox-unavailable',
      message: /without network/,
    })
  })

  it('works with the capabilities of a plain Docker container', async () => {
    const file = lab.path()
    await writeFile(file, PROGRAM(new URL('./testing/sandbox-lab.js', import.meta.url).href))
    const kept = 'chown,dac_override,fowner,fsetid,kill,setgid,setuid,sys_chroot,mknod,setfcap'
    const bounds = `-all,${kept
      .split(',')
      .map((name) => `+${name}`)
      .join(',')}`
    const child = spawnSync(
      'setpriv',
      [
        `--bounding-set=${bounds}`,
        '--inh-caps=-all',
        process.execPath,
        '--input-type=module',
        '-e',
        await readFile(file, 'utf8'),
      ],
      { encoding: 'utf8' },
    )
    assert.equal(child.status, 0, child.stderr)
    assert.equal(child.stdout, 'no-namespaces\n7:8\n1000\n')
  })
})

const PROGRAM = (lab: string): string => `
  import { SandboxLab } from ${JSON.stringify(lab)}
  import { readHostFacts } from ${JSON.stringify(new URL('../sandbox/host-facts.js', import.meta.url).href)}
  const lab = await SandboxLab.open({ ...readHostFacts(), userNamespacesMax: 0 })
  console.log(lab.worker.info.rung)
  const run = await lab.run('touch /f; chown 7:8 /f; stat -c %u:%g /f; su app -c "id -u"', { network: 'default' })
  process.stdout.write(run.stdout)
  process.stderr.write(run.stderr)
  await lab[Symbol.asyncDispose]()
`
