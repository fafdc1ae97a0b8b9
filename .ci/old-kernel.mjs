// Tests of the sandbox on Linux 6.1, Debian's user-mode-linux: a process of this machine with this machine's files, read-only.
// There layers are mounted the way of kernels before 6.8, and control groups are those of version 2 with all controllers.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { needPrograms, prepare, run } from './prepare.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const AS_ROOT = [
  ...['execute', 'cgroup-v2'].map((name) => `builder/sandbox/${name}`),
  ...['sandbox-files', 'sandbox-attacks', 'sandbox-races'].map((name) => `builder/worker/${name}`),
]
/** Nobody has made a range of ids for this one, nor could it be made there. */
const AS_USER = ['builder/worker/single-id']
const USER = 64_998
const SYSTEM_MIB = 2000
const DISK_MIB = 2000

prepare()
needPrograms({
  'linux.uml': 'user-mode-linux',
  'mkfs.ext4': 'e2fsprogs',
  busybox: 'busybox-static',
})
const work = mkdtempSync(join(tmpdir(), 'tsbuild-old-kernel-'))
process.on('exit', () => rmSync(work, { recursive: true, force: true }))

const disk = join(work, 'disk')
run('truncate', ['-s', `${DISK_MIB}M`, disk])
run('mkfs.ext4', ['-q', '-F', disk])

const mocha = (names, before) =>
  `${before} ${process.execPath} node_modules/mocha/bin/mocha.js --no-config --no-color --exit --timeout 300000 ` +
  // Ten thousand tries are too many there.
  `--grep 'swap.* for a link' --invert ` +
  `${names.map((name) => `dist/${name}.test.js`).join(' ')} || failed=1`
const init = join(work, 'init')
writeFileSync(
  init,
  `#!/bin/sh
export PATH=${process.env.PATH} HOME=/tmp TSBUILD_MUST_WORK=1 NO_COLOR=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tmpfs run /run
mkdir /dev/shm /dev/pts /run/tree
busybox insmod /usr/lib/uml/modules/$(uname -r)/kernel/fs/overlayfs/overlay.ko
busybox ip link set lo up
dmesg -n 1
mount --bind ${root} /run/tree
cd /run/tree
mount -t ext4 /dev/ubda /tmp
chmod 1777 /tmp
failed=0
${mocha(AS_ROOT, '')}
${mocha(AS_USER, `setpriv --reuid=${USER} --regid=${USER} --clear-groups`)}
test $failed = 0 && echo tests on Linux $(uname -r) ok
echo o > /proc/sysrq-trigger
sleep 10
`,
)
chmodSync(init, 0o755)

const machine = [
  ...[`mem=${SYSTEM_MIB}M`, 'quiet', `ubda=${disk}`, `init=${init}`],
  ...['root=/dev/root', 'rootfstype=hostfs', 'rootflags=/', 'ro', 'con=null', 'con0=fd:0,fd:1'],
]
const { stdout } = spawnSync('linux.uml', machine, {
  stdio: ['ignore', 'pipe', 'inherit'],
  encoding: 'utf8',
  maxBuffer: 2 ** 26,
})
process.stdout.write(stdout)
process.exitCode = /^tests on Linux \S+ ok\r?$/m.test(stdout) ? 0 : 1
