import assert from 'node:assert/strict'
import { requires } from '../../snapshotter/testing/requires.ts'
import { SandboxLab } from './testing/sandbox-lab.ts'

describe('a step in the sandbox', () => {
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

  describe('privileges', () => {
    it("has Docker's 14 capabilities, no others, and may gain privileges", async () => {
      const status = await output('grep -E "^(Cap|NoNew|Seccomp:)" /proc/self/status')
      assert.equal(
        status.replace(/\t/g, ' '),
        [
          'CapInh: 0000000000000000',
          'CapPrm: 00000000a80425fb',
          'CapEff: 00000000a80425fb',
          'CapBnd: 00000000a80425fb',
          'CapAmb: 0000000000000000',
          'NoNewPrivs: 0',
          'Seccomp: 2',
        ].join('\n'),
      )
    })

    it('has none of them in effect as an ordinary user', async () => {
      const status = await output('grep -E "^Cap(Eff|Prm|Bnd)" /proc/self/status', { user: 'app' })
      assert.match(status, /CapPrm:\s0{16}\nCapEff:\s0{16}\nCapBnd:\s00000000a80425fb/)
    })

    it('may chroot, but neither mount, nor make namespaces, nor open a device that it made', async () => {
      assert.equal(await output('chroot / echo in'), 'in')
      for (const script of [
        'mount -t tmpfs x /tmp',
        'unshare -m true',
        'unshare -U true',
        'mknod /tmp/d b 7 0 && cat /tmp/d',
      ]) {
        const { exitCode, stderr } = await lab.run(script)
        assert.notEqual(exitCode, 0, script)
        assert.match(stderr, /not permitted|denied/, script)
      }
    })

    it('keeps all capabilities and unmasked paths when insecure', async () => {
      const { stdout } = await lab.run(
        'grep -E "^(Seccomp:|CapEff)" /proc/self/status; mount -t tmpfs x /tmp && echo mounted',
        { security: 'insecure' },
      )
      assert.match(stdout, /Seccomp:\t0/)
      assert.match(stdout, /mounted/)
    })

    it("has BuildKit's further devices when insecure, and may open what it makes", async () => {
      const names = ['kmsg', 'cuse', 'fuse', 'kvm', 'net/tun', 'loop-control', 'loop0', 'loop7']
      const look = `for n in ${names.join(' ')}; do stat -c %t:%T /dev/$n; done`
      const open = 'mknod /n c 1 5 && head -c 1 /n | wc -c'
      const { stdout, stderr } = await lab.run(`${look}; ${open}`, { security: 'insecure' })
      const numbers = ['1:b', 'a:cb', 'a:e5', 'a:e8', 'a:c8', 'a:ed', '7:0', '7:7', '1']
      assert.equal(stdout, `${numbers.join('\n')}\n`, stderr)
    })

    it('sees nothing of this process but three descriptors', async () => {
      const descriptors = await output('ls -l /proc/$$/fd; ls /proc/$$/fd | wc -l')
      assert.match(descriptors, / 0 -> \/dev\/null\n.* 1 -> pipe:\[\d+\]\n.* 2 -> pipe:\[\d+\]\n/)
    })

    it("has Docker's umask, a session of its own, and an empty stdin", async () => {
      assert.equal(await output('umask; cat; cut -d" " -f5,6 /proc/1/stat'), '0022\n1 1')
    })

    it('is PID 1 and sees its own processes only', async () => {
      assert.equal(await output('echo $$ /proc/[0-9]*'), '1 /proc/1')
    })
  })

  describe('environment', () => {
    it('has PATH and HOME besides what was asked for, nothing of this process', async () => {
      const text = await output('', { args: ['env'], env: ['B=2', 'A=one two'] })
      assert.deepEqual(text.split('\n').toSorted(), [
        'A=one two',
        'B=2',
        'HOME=/root',
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      ])
    })

    it('takes HOME from the account, else "/", and leaves one that was set', async () => {
      assert.equal(await output('echo $HOME', { user: 'app' }), '/home/app')
      assert.equal(await output('echo $HOME', { user: '1000' }), '/home/app')
      assert.equal(await output('echo $HOME', { user: 'nohome' }), '/')
      assert.equal(await output('echo $HOME', { user: '4321' }), '/')
      assert.equal(await output('echo $HOME', { user: 'app', env: ['HOME=/custom'] }), '/custom')
    })

    it('has the host name that was asked for', async () => {
      assert.equal(await output('hostname'), 'buildkitsandbox')
    })
  })

  describe('USER', () => {
    const forms: readonly (readonly [string, string])[] = [
      ['', '0 0 [0 10]'],
      ['root', '0 0 [0 10]'],
      ['app', '1000 1001 [1001 10 29]'],
      ['1000', '1000 1001 [1001 10 29]'],
      ['app:audio', '1000 29 [29]'],
      ['app:4242', '1000 4242 [4242]'],
      ['1000:0', '1000 0 [0]'],
      ['4321', '4321 0 [0]'],
      ['4321:10', '4321 10 [10]'],
    ]
    for (const [user, ids] of forms) {
      it(`${JSON.stringify(user)} is ${ids}`, async () => {
        const status = await output('grep -E "^(Uid|Gid|Groups)" /proc/self/status', { user })
        const [uid, gid, groups] = status
          .split('\n')
          .map((line) => line.split(/\s+/).slice(1).filter(Boolean))
        assert.ok(new Set(uid).size === 1 && new Set(gid).size === 1)
        const others = (groups ?? []).filter((group) => group !== gid?.[0])
        assert.equal(`${uid?.[0]} ${gid?.[0]} [${[gid?.[0], ...others].join(' ')}]`, ids)
      })
    }

    it('is refused when the image has no such account or group', async () => {
      await assert.rejects(lab.run('id', { user: 'nobody-here' }), {
        code: 'sandbox-user-unknown',
        message: /unable to find user nobody-here: no matching entries in passwd file/,
      })
      await assert.rejects(lab.run('id', { user: 'app:no-group' }), {
        code: 'sandbox-user-unknown',
        message: /no-group/,
      })
    })
  })

  describe('how it ends', () => {
    it('gives the exit code as it is', async () => {
      assert.equal((await lab.run('exit 42')).exitCode, 42)
    })

    it('gives 128 and the signal for a command that was killed', async () => {
      const { exitCode, signal } = await lab.run("sh -c 'kill -9 $$'; exit $?")
      assert.equal(exitCode, 137)
      assert.equal(signal, undefined)
    })

    it('kills what is left in the background, which holds nothing up', async () => {
      const { exitCode, stdout } = await lab.run('sleep 1000 & (setsid sleep 1000 &); echo started')
      assert.equal(exitCode, 0)
      assert.equal(stdout, 'started\n')
    })

    it('is 127 with a reason for a program that is not there', async () => {
      const absolute = await lab.run('', { args: ['/no/such/prog'] })
      assert.equal(absolute.exitCode, 127)
      assert.match(
        absolute.stderr,
        /exec: "\/no\/such\/prog": stat \/no\/such\/prog: no such file or directory/,
      )
      const searched = await lab.run('', { args: ['no-such-prog'] })
      assert.equal(searched.exitCode, 127)
      assert.match(searched.stderr, /exec: "no-such-prog": executable file not found in \$PATH/)
    })

    it('is 126 with a reason for what is no program', async () => {
      for (const name of ['/etc/passwd', '/etc']) {
        const { exitCode, stderr } = await lab.run('', { args: [name] })
        assert.equal(exitCode, 126)
        assert.match(stderr, /permission denied|is a directory/)
      }
    })

    it('keeps the order and all bytes of what it prints', async () => {
      const { stdout, stderr } = await lab.run('seq 1 20000; echo done >&2')
      assert.equal(
        stdout,
        `${Array.from({ length: 20_000 }, (_, index) => index + 1).join('\n')}\n`,
      )
      assert.equal(stderr, 'done\n')
    })

    it('lets any user write to /dev/stdout and /dev/stderr by name', async () => {
      const { stdout, stderr, exitCode } = await lab.run(
        'echo out > /dev/stdout; echo err > /dev/stderr',
        { user: 'app' },
      )
      assert.deepEqual([exitCode, stdout, stderr], [0, 'out\n', 'err\n'])
    })

    it('counts processor time and memory', async () => {
      const { cpuTimeMs, peakMemoryBytes } = await lab.run(
        'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done',
      )
      assert.ok(cpuTimeMs > 0)
      assert.ok((peakMemoryBytes ?? 0) > 100_000)
    })
  })

  describe('limits', () => {
    it('sets resource limits', async () => {
      const text = await output('ulimit -n; ulimit -Hn', {
        ulimits: [{ name: 'nofile', soft: 99, hard: 101 }],
      })
      assert.equal(text, '99\n101')
    })

    it('names one that cannot be had', async () => {
      const ulimits = [{ name: 'nofile', soft: 2 ** 31, hard: 2 ** 31 }]
      await assert.rejects(lab.run('true', { ulimits }), {
        code: 'sandbox-limit-unsupported',
        message: /ulimit nofile=2147483648:2147483648 \(EPERM\): it is more than/,
      })
    })

    it('sizes /dev/shm', async () => {
      assert.match(
        await output('grep " /dev/shm " /proc/mounts', { shmSizeBytes: 1 << 20 }),
        /size=1024k/,
      )
    })
  })

  describe('network', () => {
    it('has a loopback device that is up, and nothing else, with none', async () => {
      assert.equal(
        await output(
          'ls /sys/class/net; ip link show lo | grep -c LOWER_UP; ping -c1 -w1 ::1 >/dev/null && echo v6',
        ),
        'lo\n1\nv6',
      )
    })
  })
})
