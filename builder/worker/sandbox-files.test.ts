import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import type { SandboxMount } from './protocol.ts'
import { SandboxLab } from './testing/sandbox-lab.ts'

describe("a step's file system", () => {
  requires('root', 'overlay')
  let lab: SandboxLab
  before(async () => {
    lab = await SandboxLab.open()
  })
  after(async () => {
    // There is none where the tests are skipped.
    await lab?.[Symbol.asyncDispose]()
  })

  async function output(
    script: string,
    changes: Parameters<SandboxLab['run']>[1] = {},
  ): Promise<string> {
    const { stdout, stderr, exitCode } = await lab.run(script, changes)
    assert.equal(exitCode, 0, stderr)
    return stdout.trim()
  }

  /** Runs a script and returns the paths of the layer that it made. */
  async function layerOf(
    script: string,
    changes: Parameters<SandboxLab['run']>[1] = {},
  ): Promise<string[]> {
    const commitTo = lab.path()
    const { exitCode, stderr, diff } = await lab.run(script, { commitTo, ...changes })
    assert.equal(exitCode, 0, stderr)
    assert.ok(diff !== undefined)
    return (await readdir(join(commitTo, 'fs'), { recursive: true })).toSorted()
  }

  /** A layer of files and links over the base. */
  async function layerWith(make: (root: string) => Promise<void>): Promise<{ path: string }> {
    const layer = { path: lab.path() }
    await mkdir(join(layer.path, 'fs'), { recursive: true })
    await make(join(layer.path, 'fs'))
    return layer
  }

  const file = (
    target: string,
    extra: Partial<Extract<SandboxMount, { type: 'file' }>> = {},
  ): SandboxMount => ({
    ...{ type: 'file', target, content: Buffer.from('secret\n'), mode: 0o400, uid: 0, gid: 0 },
    ...extra,
  })

  describe('what every container has', () => {
    it("has Docker's /dev", async () => {
      const names = await output(
        'ls /dev | tr "\\n" " "; ls /dev/pts; for l in fd ptmx stdin; do readlink /dev/$l; done',
      )
      assert.equal(
        names,
        'fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ptmx\n/proc/self/fd\npts/ptmx\n/proc/self/fd/0',
      )
      const script =
        'echo x > /dev/null; head -c 2 /dev/zero | wc -c; head -c 2 /dev/urandom | wc -c; echo y > /dev/full'
      const { stdout, stderr } = await lab.run(script)
      assert.equal(stdout, '2\n2\n')
      assert.match(stderr, /No space left/)
    })

    it('hides and protects what Docker does in /proc and /sys', async () => {
      const script =
        'for f in keys timer_list; do cat /proc/$f; done; ls /proc/acpi /sys/firmware 2>/dev/null | grep -v :'
      assert.equal(await output(`${script}; true`), '')
      for (const path of [
        '/proc/sys/kernel/hostname',
        '/proc/sysrq-trigger',
        '/sys/kernel/uevent_helper',
      ]) {
        const { stderr } = await lab.run(`echo x > ${path}`)
        assert.match(stderr, /Read-only file system|Permission denied|nonexistent/, path)
      }
    })

    it('shows no control groups of others', async () => {
      assert.equal(await output('find /sys/fs/cgroup -mindepth 1 -type d'), '')
    })

    it('shows no path of the host in its mounts', async () => {
      assert.ok(!(await output('cat /proc/self/mountinfo')).includes(lab.directory))
    })

    it('leaves /tmp, /run and written files in the layer, /dev and /proc not', async () => {
      const made = await layerOf(
        'mkdir /run && echo 1 > /run/x; echo 2 > /tmp/y; echo 3 > /dev/shm/z; echo 4 > /dev/w',
      )
      assert.deepEqual(made, ['dev', 'proc', 'run', 'run/x', 'sys', 'tmp', 'tmp/y'])
    })

    it('gives /etc/hosts and /etc/resolv.conf read-only and leaves no trace of them', async () => {
      const extraHosts = [{ name: 'one.test', address: '10.1.2.3' }]
      const made = await layerOf(
        'cat /etc/hosts /etc/resolv.conf && ! (echo x >> /etc/hosts) 2>/dev/null && echo > /f',
        { extraHosts },
      )
      assert.deepEqual(made, ['dev', 'f', 'proc', 'sys'])
      assert.match(
        await output('cat /etc/hosts', { extraHosts }),
        /localhost buildkitsandbox\n.*\n10\.1\.2\.3\tone\.test$/,
      )
    })

    it("keeps the image's own /etc/hosts as it was", async () => {
      const own = await layerWith(async (root) => {
        await mkdir(join(root, 'etc'))
        await writeFile(join(root, 'etc/hosts'), 'own\n')
      })
      const made = await layerOf('! grep own /etc/hosts', { layers: [lab.base, own] })
      assert.deepEqual(made, ['dev', 'proc', 'sys'])
    })

    it('keeps /etc in the layer when the step itself wrote to it', async () => {
      assert.deepEqual(await layerOf('echo > /etc/new'), ['dev', 'etc', 'etc/new', 'proc', 'sys'])
    })

    it('runs over nothing at all', async () => {
      const { exitCode, stderr } = await lab.run('', { layers: [], args: ['/bin/none'] })
      assert.equal(exitCode, 127, stderr)
    })
  })

  describe('working directory', () => {
    it('is made for the user when it is missing', async () => {
      assert.equal(
        await output('pwd; stat -c "%a %u:%g" . ..', { cwd: '/new/deep', user: 'app' }),
        '/new/deep\n755 1000:1001\n755 1000:1001',
      )
    })

    it('follows links inside the image, also dangling ones, never out of it', async () => {
      const links = await layerWith(async (root) => {
        await mkdir(join(root, 'real'))
        await symlink('real', join(root, 'link'))
        await symlink('../../../../../../etc', join(root, 'up'))
        await symlink('/not/there', join(root, 'dangling'))
      })
      const layers = [lab.base, links]
      assert.equal(await output('pwd -P', { layers, cwd: '/link/sub' }), '/real/sub')
      assert.equal(await output('pwd -P; cat passwd | wc -l', { layers, cwd: '/up' }), '/etc\n3')
      assert.equal(await output('pwd -P', { layers, cwd: '/dangling/x' }), '/not/there/x')
    })

    it('is never a descriptor that leaked (CVE-2024-21626)', async () => {
      for (let fd = 3; fd < 12; fd++) {
        const { exitCode, stdout } = await lab
          .run('pwd -P; ls /', { cwd: `/proc/self/fd/${fd}` })
          .catch(() => ({ exitCode: 1, stdout: '' }))
        if (exitCode === 0) assert.match(stdout, /\nbin\ndev\netc\nmnt\nproc\nsys\ntmp\n/)
      }
    })
  })

  describe('mounts', () => {
    it('gives a file with mode and owner that is not on disk, and removes every mount point', async () => {
      const mounts = [file('/run/secrets/s1'), file('/x/y', { mode: 0o440, uid: 5, gid: 6 })]
      const made = await layerOf('stat -c "%a %u %g" /run/secrets/s1 /x/y > /o; cat /x/y >> /o', {
        mounts,
      })
      assert.deepEqual(made, ['dev', 'o', 'proc', 'sys'])
    })

    it('lets a script be run from its mount, a secret not', async () => {
      const content = Buffer.from('#!/bin/sh\necho script $0\n')
      const mounts = [file('/dev/pipes/EOF', { content, mode: 0o755 }), file('/s', { content })]
      assert.equal(await output('', { args: ['/dev/pipes/EOF'], mounts }), 'script /dev/pipes/EOF')
      assert.match(
        await output('grep " /s " /proc/mounts', { mounts }),
        /tmpfs ro,nosuid,nodev,noexec/,
      )
    })

    it('sizes a tmpfs and throws it away', async () => {
      const mounts: SandboxMount[] = [
        { type: 'tmpfs', target: '/mnt/a/b', sizeBytes: 8 << 20, isReadonly: false },
      ]
      const made = await layerOf(
        'df -k /mnt/a/b | tail -1 | grep -q " 8192 " && echo x > /mnt/a/b/x',
        { mounts },
      )
      assert.deepEqual(made, ['dev', 'proc', 'sys'])
    })

    it('keeps a mount point that the step put something beside', async () => {
      const mounts: SandboxMount[] = [
        { type: 'tmpfs', target: '/cc/dd', sizeBytes: undefined, isReadonly: false },
      ]
      assert.deepEqual(await layerOf('echo y > /cc/stays', { mounts }), [
        'cc',
        'cc/stays',
        'dev',
        'proc',
        'sys',
      ])
    })

    it('puts back the time of a directory that held a mount point', async () => {
      const before = (await stat(join(lab.base.path, 'fs/mnt'))).mtimeMs
      const commitTo = lab.path()
      await lab.run('echo x > /f', {
        commitTo,
        mounts: [{ type: 'tmpfs', target: '/mnt/a', sizeBytes: undefined, isReadonly: false }],
      })
      const seen = await output('stat -c %Y /mnt', { layers: [lab.base, { path: commitTo }] })
      assert.equal(seen, String(Math.floor(before / 1000)))
    })

    it('does not follow what the step made of a mount point when it cleans up (CVE-2024-23652)', async () => {
      const canary = lab.path()
      await mkdir(join(canary, 'b'), { recursive: true })
      const mounts: SandboxMount[] = [
        { type: 'tmpfs', target: '/a/b', sizeBytes: undefined, isReadonly: false },
      ]
      await lab.run(`umount /a/b; mv /a /gone; ln -s ${canary} /a; true`, {
        mounts,
        security: 'insecure',
        commitTo: lab.path(),
      })
      assert.deepEqual(await readdir(canary), ['b'])
    })

    it('resolves targets inside the image', async () => {
      const links = await layerWith(async (root) => {
        await symlink('/etc', join(root, 'abs'))
        await symlink('../../../..', join(root, 'up'))
      })
      const mounts = [file('/abs/s'), file('/up/t')]
      assert.equal(
        await output('cat /etc/s /t', { layers: [lab.base, links], mounts }),
        'secret\nsecret',
      )
    })

    it('mounts a path of other layers; what is written to it is lost', async () => {
      const other = await layerWith(async (root) => {
        await mkdir(join(root, 'd'))
        await writeFile(join(root, 'd/f'), 'from\n')
      })
      const mount = { type: 'layers', target: '/m', layers: [other], source: '/d' } as const
      assert.equal(
        await output('cat /m/f; (echo x > /m/f) 2>/dev/null || echo denied', {
          mounts: [{ ...mount, isReadonly: true }],
        }),
        'from\ndenied',
      )
      assert.equal(
        await output('echo x > /m/f; cat /m/f', { mounts: [{ ...mount, isReadonly: false }] }),
        'x',
      )
      assert.equal(await readFile(join(other.path, 'fs/d/f'), 'utf8'), 'from\n')
      const one = { ...mount, source: '/d/f', target: '/tt/f', isReadonly: true }
      assert.equal(await output('cat /tt/f', { mounts: [one] }), 'from')
    })

    it('resolves a source inside its own tree, never on the host (CVE-2024-1753)', async () => {
      const evil = await layerWith(async (root) => {
        await symlink('/', join(root, 'link'))
        await writeFile(join(root, 'only-here'), '')
      })
      const mount = {
        type: 'layers',
        target: '/m',
        layers: [evil],
        source: '/link',
        isReadonly: false,
      } as const
      assert.equal(await output('ls /m', { mounts: [mount] }), 'link\nonly-here')
    })

    it('keeps what is written to a directory, and its stubs', async () => {
      const directory = lab.path()
      await mkdir(directory)
      const mount = {
        type: 'directory',
        target: '/c',
        directory,
        source: '/',
        isReadonly: false,
      } as const
      const made = await layerOf('echo 1 > /c/f', {
        mounts: [mount, { type: 'tmpfs', target: '/c/t', sizeBytes: undefined, isReadonly: false }],
      })
      assert.deepEqual(made, ['dev', 'proc', 'sys'])
      assert.deepEqual((await readdir(directory)).toSorted(), ['f', 't'])
    })

    it('has an empty stdin also where a mount lies over /dev', async () => {
      const over = (mount: SandboxMount): Promise<string> =>
        output('readlink /proc/self/fd/0; cat', { mounts: [mount] })
      const dev = { type: 'tmpfs', sizeBytes: undefined, isReadonly: false } as const
      assert.equal(await over({ ...dev, target: '/dev' }), '/dev/null')
      assert.equal(await over(file('/dev/null')), '/dev/null')
    })

    it('says what is in the way of a mount', async () => {
      const directory = { type: 'tmpfs', sizeBytes: undefined, isReadonly: false } as const
      for (const [mount, message] of [
        [{ ...directory, target: '/etc/passwd' }, /a directory on \/etc\/passwd, which is a file/],
        [file('/etc'), /a file on \/etc, which is a directory/],
      ] as const) {
        const run = lab.run('true', { mounts: [mount] })
        await assert.rejects(run, { code: 'sandbox-mount-invalid', message })
      }
    })

    it('names a path that leads in a circle', async () => {
      const circle = await layerWith((root) => symlink('loop', join(root, 'loop')))
      const mounts = [file('/loop/s')]
      await assert.rejects(lab.run('true', { layers: [lab.base, circle], mounts }), {
        code: 'sandbox-mount-invalid',
        message: 'could not mount: /loop/s leads through too many links (ELOOP)',
      })
    })

    it('says which source is missing', async () => {
      const mount = {
        type: 'directory',
        target: '/c',
        directory: lab.directory,
        source: '/no',
        isReadonly: true,
      } as const
      await assert.rejects(lab.run('true', { mounts: [mount] }), {
        code: 'sandbox-mount-invalid',
        message: 'could not mount: /no for the mount on /c: not found',
      })
    })
  })

  describe('hostile images', () => {
    it('are refused when /etc/passwd is no regular file', async () => {
      const evil = await layerWith(async (root) => {
        await mkdir(join(root, 'etc'))
        await symlink('/dev/zero', join(root, 'etc/passwd'))
      })
      await assert.rejects(lab.run('id', { layers: [lab.base, evil], user: 'app' }), {
        code: 'sandbox-user-unknown',
        message: /not a regular file/,
      })
    })

    it('are refused when /etc/passwd is larger than any real one', async () => {
      const evil = await layerWith(async (root) => {
        await mkdir(join(root, 'etc'))
        await writeFile(join(root, 'etc/passwd'), Buffer.alloc(11 << 20, 'x'))
      })
      await assert.rejects(lab.run('id', { layers: [lab.base, evil], user: 'app' }), {
        code: 'sandbox-user-unknown',
        message: /10 MiB/,
      })
    })

    it('cannot move /dev, /proc or /etc/resolv.conf out of their root by links', async () => {
      const evil = await layerWith(async (root) => {
        await mkdir(join(root, 'etc'))
        await mkdir(join(root, 'elsewhere'))
        await symlink('../../../../elsewhere', join(root, 'dev'))
        await symlink('../../../tmp/made', join(root, 'etc/resolv.conf'))
      })
      const script = 'ls /elsewhere/null && cat /tmp/made > /dev/null && echo ok'
      assert.equal(await output(script, { layers: [lab.base, evil] }), '/elsewhere/null\nok')
    })
  })
})
