import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LayerDirectory } from '../../snapshotter/index.ts'
import { requires } from '../../snapshotter/testing/requires.ts'
import { SandboxLab } from './testing/sandbox-lab.ts'

/** Arguments that a call which is let through would fail on with anything but EPERM and ENOSYS, or do no harm with. */
const BLOCKED: readonly (readonly [string, string])[] = [
  ['mount', '"none", "/tmp", "tmpfs", 0, 0'],
  ['umount2', '"/proc", 0'],
  ['pivot_root', '"/tmp", "/tmp"'],
  ['unshare', '0x10000000'],
  ['clone', '0x10000000 | 17, 0, 0, 0, 0'],
  ['setns', '0, 0'],
  ['bpf', '0, 0, 0'],
  ['kexec_load', '0, 0, 0, 0'],
  ['keyctl', '0, -3, 0'],
  ['add_key', '"user", "a", "b", 1, -3'],
  ['request_key', '"user", "a", 0, -3'],
  ['init_module', '0, 0, ""'],
  ['finit_module', '-1, "", 0'],
  ['delete_module', '"x", 0'],
  ['open_by_handle_at', '-1, 0, 0'],
  ['perf_event_open', '0, 0, -1, -1, 0'],
  ['userfaultfd', '0'],
  ['reboot', '0, 0, 0, 0'],
  ['swapon', '"/x", 0'],
  ['settimeofday', '0, 0'],
  ['acct', '"/x"'],
  ['quotactl', '0, "/x", 0, 0'],
  ['fsopen', '"tmpfs", 0'],
  ['open_tree', '-100, "/", 1'],
  ['move_mount', '-1, "", -1, "", 0'],
  ['mount_setattr', '-1, "", 0, 0, 0'],
  ['io_uring_setup', '1, 0'],
  ['personality', '0x0040000'],
  ['socket', '38, 5, 0'],
  ['socket', '40, 1, 0'],
  ['move_pages', '0, 0, 0, 0, 0, 0'],
  ['syslog', '3, 0, 0'],
  ['vhangup', ''],
  ['sethostname', '"x", 1'],
  ['clock_settime', '0, 0'],
  ['clone3', '0, 0'],
  ['fspick', '-100, "/", 0'],
  ['fsconfig', '-1, 0, 0, 0, 0'],
  ['fsmount', '-1, 0, 0'],
  ['kexec_file_load', '-1, -1, 0, 0, 0'],
  ['fanotify_init', '0, 0'],
  ['swapoff', '"/x"'],
  ['setdomainname', '"x", 1'],
  ['get_mempolicy', '0, 0, 0, 0, 0'],
  ['set_mempolicy', '0, 0, 0'],
  ['mbind', '0, 0, 0, 0, 0, 0'],
  ['migrate_pages', '0, 0, 0, 0'],
  ['kcmp', '1, 1, 0, 0, 0'],
  ['process_madvise', '-1, 0, 0, 0, 0'],
  ['io_uring_enter', '-1, 0, 0, 0, 0, 0'],
  ['io_uring_register', '-1, 0, 0, 0'],
  ['quotactl_fd', '-1, 0, 0, 0'],
  ['nfsservctl', '0, 0, 0'],
]

const PROGRAM = `
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
#define TRY(name, ...) errno = 0; printf("%s %d\\n", #name, syscall(SYS_##name, ##__VA_ARGS__) < 0 ? errno : 0); fflush(stdout);
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif
int main(void) {
${BLOCKED.map(([name, args]) => `  TRY(${name}${args === '' ? '' : `, ${args}`})`).join('\n')}
  return 0;
}
`
const EPERM = 1
const ENOSYS = 38

describe('a hostile step', function () {
  this.timeout(30_000)
  requires('root')
  let lab: SandboxLab
  let layers: readonly LayerDirectory[]
  before(async () => {
    lab = await SandboxLab.open()
    const tools = { path: lab.path() }
    await mkdir(join(tools.path, 'fs'), { recursive: true })
    const source = lab.path()
    await writeFile(`${source}.c`, PROGRAM)
    const to = join(tools.path, 'fs/calls')
    const { status, stderr } = spawnSync('cc', ['-static', '-w', '-o', to, `${source}.c`])
    assert.equal(status, 0, String(stderr))
    layers = [lab.base, tools]
  })
  after(async () => {
    await lab?.[Symbol.asyncDispose]()
  })

  it("may make no system call that Docker's profile forbids, even as root", async () => {
    const { stdout, exitCode } = await lab.run('/calls', { layers })
    assert.equal(exitCode, 0)
    const seen = stdout.trimEnd().split('\n')
    assert.deepEqual(
      seen.map((line) => line.split(' ')[0]),
      BLOCKED.map(([name]) => name),
    )
    const allowed = seen.filter((line) => ![EPERM, ENOSYS].includes(Number(line.split(' ')[1])))
    assert.deepEqual(allowed, [])
  })

  it('finds neither the program that started it nor keys of others (CVE-2019-5736)', async () => {
    const { stdout } = await lab.run(
      'readlink /proc/1/exe; for fd in /proc/self/fd/*; do readlink $fd | sed "s/[0-9]\\+/N/"; done; cat /proc/keys | wc -c; ls /proc | grep -c "^[0-9]"',
    )
    const [exe, ...rest] = stdout.trimEnd().split('\n')
    assert.equal(exe, '/bin/busybox')
    assert.deepEqual(rest.slice(-2)[0], '0')
    assert.ok(!stdout.includes('sandbox-init'), stdout)
  })

  it('cannot look into a process of another user', async () => {
    const { stdout } = await lab.run(
      'su app -c "cat /proc/1/environ /proc/1/maps; readlink /proc/1/exe /proc/1/cwd; ls /proc/1/fd" 2>/dev/null; echo end',
    )
    assert.equal(stdout, 'end\n')
  })

  it('finds nothing of the host through links and odd files in places that are mounted over (CVE-2025-31133)', async () => {
    for (const make of ['ln -s /etc/passwd', 'mkfifo', 'mkdir', 'echo no >']) {
      const odd = { path: lab.path() }
      const made = await lab.run(
        `mkdir -p /o && cd /o && ${make} null; ${make} console; ${make} tty; cp -a /o/. /spare; true`,
        { commitTo: odd.path },
      )
      assert.equal(made.exitCode, 0, made.stderr)
      const moved = { path: lab.path() }
      await mkdir(join(moved.path, 'fs'), { recursive: true })
      spawnSync('cp', ['-a', join(odd.path, 'fs/o'), join(moved.path, 'fs/dev')])
      const { stdout, exitCode } = await lab.run(
        'stat -c "%n %F" /dev/null /dev/tty; echo x > /dev/null; ls /dev/console',
        { layers: [lab.base, moved] },
      )
      assert.equal(
        stdout,
        '/dev/null character special file\n/dev/tty character special file\n',
        make,
      )
      assert.notEqual(exitCode, 0)
    }
  })
})
