import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { packageFile } from '../../snapshotter/index.ts'

/** The newest call of the table in kernel headers that are everywhere; later ones may be missing there. */
const HEADERS_KNOW_MAX = 450
/** Newer (Linux 6.11), in a gap that amd64 had. */
const LATER = ['uretprobe']
const GENERIC_WANTS = ['RENAMEAT', 'NEW_STAT', 'SET_GET_RLIMIT', 'TIME32_SYSCALLS', 'MEMFD_SECRET']

/** Names and numbers of one architecture, out of its kernel header. */
function numbersIn(header: string, defines: readonly string[]): Map<string, number> {
  const options = ['-E', '-dM', '-x', 'c', ...defines.map((name) => `-D${name}`), '-']
  const source = `#define __BITS_PER_LONG 64\n#include <${header}>\n`
  const { status, stdout, stderr } = spawnSync('cc', options, { input: source, encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  const defined = new Map<string, string>()
  for (const line of stdout.split('\n')) {
    const [, name, value] = /^#define (__NR\w*) (\w+)$/.exec(line) ?? []
    if (name !== undefined && value !== undefined) defined.set(name, value)
  }
  // `__NR_fcntl` is `__NR3264_fcntl`, which is a number.
  return new Map(
    [...defined].map(([name, value]) => [
      name.replace(/^__NR_/, ''),
      Number(defined.get(value) ?? value),
    ]),
  )
}

/** The table of sandbox-init, a column an architecture. */
function table(column: 0 | 1 | 2): Map<string, number> {
  const path = packageFile('snapshotter/native/sandbox-init/seccomp-table.h')
  assert.ok(path !== undefined, 'the sources of sandbox-init are not here')
  const rows = readFileSync(path, 'utf8').matchAll(/^ALLOW\((\w+), (\S+), (\S+), (\S+), (\S+)\)/gm)
  return new Map([...rows].map((row) => [row[1] ?? '', Number(row[2 + column])]))
}

describe("the table of Docker's seccomp profile", () => {
  const architectures = [
    ['amd64', 0, 'asm/unistd_64.h', []],
    ['i386', 1, 'asm/unistd_32.h', []],
    ['arm64', 2, 'asm-generic/unistd.h', GENERIC_WANTS.map((name) => `__ARCH_WANT_${name}`)],
  ] as const
  for (const [name, column, header, defines] of architectures) {
    it(`has the kernel's numbers of ${name}`, function () {
      // The headers of the other family of machines are not installed.
      if (process.arch !== 'x64' && column < 2) this.skip()
      const known = numbersIn(header, defines)
      const rows = [...table(column)].filter(
        ([call, number]) => number <= HEADERS_KNOW_MAX && !LATER.includes(call),
      )
      assert.ok(rows.length > 300)
      const wrong = rows.filter(([call, number]) => (known.get(call) ?? -1) !== number)
      assert.deepEqual(wrong, [])
    })
  }
})
