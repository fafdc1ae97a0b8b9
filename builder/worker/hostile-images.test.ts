import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, open, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LayerDirectory } from '../../snapshotter/index.ts'
import { requires } from '../../snapshotter/testing/requires.ts'
import type { RunRequest, SandboxMount } from './protocol.ts'
import { type LabRun, SandboxLab } from './testing/sandbox-lab.ts'

const SYSTEM_PATHS = ['dev', 'proc', 'sys', 'etc/resolv.conf', 'etc/hosts'] as const
/** Nothing of these may be what the step finds at a path that is mounted over. */
const ODD_THINGS: readonly (readonly [string, (path: string, canary: string) => unknown])[] = [
  ['a link to a place of the host', (path, canary) => symlink(canary, path)],
  ['a link out of the root', (path) => symlink('../../../../../../../etc', path)],
  ['a link to itself', (path) => symlink(path.split('/').at(-1) ?? '', path)],
  ['a file', (path) => writeFile(path, 'of the image')],
  ['a pipe', (path) => spawnSync('mkfifo', [path])],
  ['a directory', (path) => mkdir(path)],
]

describe('an image that is made to be hostile', function () {
  this.timeout(60_000)
  requires('root', 'overlay')
  let lab: SandboxLab
  before(async () => {
    lab = await SandboxLab.open()
  })
  after(async () => {
    await lab?.[Symbol.asyncDispose]()
  })

  async function layerWith(make: (root: string) => Promise<unknown>): Promise<LayerDirectory> {
    const layer = { path: lab.path() }
    await mkdir(join(layer.path, 'fs/etc'), { recursive: true })
    await make(join(layer.path, 'fs'))
    return layer
  }

  /** How a run over the base and `evil` went; a refusal in words. */
  async function over(
    evil: LayerDirectory,
    script: string,
    changes: Partial<RunRequest> = {},
  ): Promise<LabRun | string> {
    return await lab
      .run(script, { layers: [lab.base, evil], ...changes })
      .catch((error: Error) => error.message)
  }

  for (const path of SYSTEM_PATHS) {
    for (const [what, make] of ODD_THINGS) {
      it(`gains nothing by ${what} at /${path} (CVE-2025-31133, CVE-2025-52881)`, async () => {
        const canary = lab.path()
        await mkdir(canary)
        await writeFile(join(canary, 'secret'), 'of the host')
        const evil = await layerWith((root) => make(join(root, path), canary) as Promise<unknown>)
        const outcome = await over(
          evil,
          `cat /${path}/secret /proc/1/root/etc/hostname 2>/dev/null; head -c1 /proc/keys /proc/timer_list 2>/dev/null | grep -v "^==>" | tr -d "\\n"
           for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/vm/drop_caches; do (echo > $f) 2>/dev/null && echo wrote $f; done
           (echo no > /etc/hosts) 2>/dev/null && echo wrote hosts; true`,
        )
        // Either the step saw the mounts, masked, or it was not begun.
        if (typeof outcome === 'string') assert.match(outcome, /could not (set up|mount|run)/)
        else assert.equal(outcome.stdout, '', outcome.stderr)
        assert.deepEqual(await readdir(canary), ['secret'])
      })
    }
  }

  it('cannot lead mounts, WORKDIR or stubs to the host by links (CVE-2026-55686, CVE-2024-9341)', async () => {
    const canary = lab.path()
    await mkdir(canary)
    const evil = await layerWith(async (root) => {
      await symlink(canary, join(root, 'link'))
      await symlink(`../../../../../..${canary}`, join(root, 'up'))
    })
    const mounts = ['/link/a/b', '/up/c'].map(
      (target): SandboxMount => ({
        type: 'tmpfs',
        target,
        sizeBytes: undefined,
        isReadonly: false,
      }),
    )
    for (const cwd of ['/link/x', '/up/y']) {
      const outcome = await over(evil, 'pwd -P > made', { cwd, mounts, commitTo: lab.path() })
      assert.ok(typeof outcome !== 'string', String(outcome))
      assert.equal(outcome.exitCode, 0, outcome.stderr)
    }
    assert.deepEqual(await readdir(canary), [])
  })

  const accounts: readonly (readonly [string, (path: string) => Promise<unknown>, RegExp])[] = [
    ['a pipe', async (path) => spawnSync('mkfifo', [path]), /not a regular file/],
    ['a directory', (path) => mkdir(path), /not a regular file/],
    ['ten gigabytes of nothing', makeSparse, /10 MiB/],
    ['a link to a file of the host', (path) => symlink('/proc/self/environ', path), /app/],
  ]
  for (const [what, make, words] of accounts) {
    it(`is refused, at once, when /etc/passwd is ${what} (CVE-2024-9676, CVE-2026-47262)`, async () => {
      const evil = await layerWith((root) => make(join(root, 'etc/passwd')))
      const outcome = await over(evil, 'id', { user: 'app' })
      assert.match(String(outcome), words)
    })
  }

  it('starts a step with three descriptors, and none can be a WORKDIR (CVE-2024-21626)', async () => {
    const { stdout } = await lab.run(
      'ls /proc/self/fd | tr "\\n" " "; ls /proc/1/fd | tr "\\n" " "',
    )
    // ls itself opens the directory as 3.
    assert.equal(stdout, '0 1 2 3 0 1 2 ')
    const seen = new Set<string>()
    for (let fd = 3; fd <= 20; fd++) {
      const outcome = await over(lab.base, 'ls -d ../../../../var', { cwd: `/proc/self/fd/${fd}` })
      seen.add(typeof outcome === 'string' ? 'refused' : outcome.stdout)
    }
    assert.deepEqual(
      [...seen].filter((text) => text !== 'refused' && text !== ''),
      [],
    )
  })
})

async function makeSparse(path: string): Promise<void> {
  const file = await open(path, 'w')
  await file.truncate(10 * 1024 ** 3)
  await file.close()
}
