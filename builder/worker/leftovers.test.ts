import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { OrdinaryUser, type ProgramResult } from './testing/ordinary-user.ts'

/** hold PROGRAM...: with a session keyring that has the key `outer`; add KEY, find KEY: in the session keyring. */
const KEYS = `
#define _GNU_SOURCE
#include <errno.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
static long add(const char *name) { return syscall(SYS_add_key, "user", name, "x", 1L, (long)KEY_SPEC_SESSION_KEYRING); }
int main(int argc, char **argv) {
  if (argc < 3) return 2;
  if (strcmp(argv[1], "hold") == 0) {
    if (syscall(SYS_keyctl, (long)KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 || add("outer") < 0) return perror("hold"), 1;
    execv(argv[2], argv + 2);
    return perror(argv[2]), 1;
  }
  if (strcmp(argv[1], "add") == 0) return add(argv[2]) < 0 ? perror("add"), 1 : 0;
  long key = syscall(SYS_keyctl, (long)KEYCTL_SEARCH, (long)KEY_SPEC_SESSION_KEYRING, "user", argv[2], 0L);
  puts(key >= 0 ? "found" : errno == ENOKEY ? "not there" : strerror(errno));
}
`

describe('what a step leaves', function () {
  this.timeout(60_000)
  requires('root', 'userns')
  let directory: string
  let keys: string
  let user: OrdinaryUser
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-leftovers-'))
    await chmod(directory, 0o755)
    keys = join(directory, 'keys')
    const args = ['-static', '-o', keys, '-x', 'c', '-']
    const made = spawnSync('cc', args, { input: KEYS, encoding: 'utf8' })
    assert.equal(made.status, 0, made.stderr)
    user = await OrdinaryUser.open()
  })
  after(async () => {
    await user?.[Symbol.asyncDispose]()
    if (directory !== undefined) await rm(directory, { recursive: true })
  })

  const script = 'builder/worker/testing/leftovers-script.js'
  const asRoot = (rung: string): ProgramResult => {
    const path = join(import.meta.dirname, 'testing/leftovers-script.js')
    return spawnSync(process.execPath, [path, keys, rung], { encoding: 'utf8' })
  }
  const asUser = (rung: string): Promise<ProgramResult> => user.run(script, [keys, rung])
  const places = [
    ['root', () => asRoot('own')],
    ['userns-subids', () => asUser('own')],
    ['userns-single-id', () => asUser('userns-single-id')],
    ['no-namespaces', () => asRoot('no-namespaces')],
  ] as const
  for (const [rung, run] of places) {
    it(`is no process, no zombie and no key on the rung ${rung}`, async () => {
      const { status, stdout, stderr } = await run()
      assert.equal(status, 0, stderr)
      const { tookMs, ...seen } = JSON.parse(stdout) as Record<string, unknown>
      assert.deepEqual(seen, {
        rung,
        ...{ stdout: 'ended\n', exitCode: 0, living: [], zombies: [] },
        found: {
          outside: 'found\n',
          inside: 'not there\n',
          own: 'found\n',
          next: 'not there\n',
        },
      })
      assert.ok(Number(tookMs) < 30_000, `the step ended after ${String(tookMs)} ms`)
    })
  }
})
