import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createCgroup } from '../sandbox/cgroup.ts'
import { SandboxError } from '../sandbox/errors.ts'
import { requires } from '../../snapshotter/testing/requires.ts'
import { SandboxLab } from './testing/sandbox-lab.ts'

/** 10,000 tries. */
const RACE_ROUNDS = 25
const RACE_MOUNTS = 400

describe('steps that share something', () => {
  requires('root', 'overlay')
  let lab: SandboxLab
  before(async () => {
    lab = await SandboxLab.open()
  })
  after(async () => {
    // There is none where the tests are skipped.
    await lab?.[Symbol.asyncDispose]()
  })

  it('never mount the host while another one swaps the source for a link (CVE-2024-23651, CVE-2024-11218)', async function () {
    this.timeout(60_000)
    const cache = lab.path()
    const canary = lab.path()
    await mkdir(join(cache, 'sub'), { recursive: true })
    await writeFile(join(cache, 'sub/inside'), '')
    await mkdir(canary)
    await writeFile(join(canary, 'outside'), '')
    await symlink(canary, join(cache, 'link'))
    // Resolved inside the tree, as it has to be, the link leads to something too: no try is lost.
    await mkdir(join(cache, canary), { recursive: true })
    await writeFile(join(cache, canary, 'inside'), '')
    // RENAME_EXCHANGE, so that there is something of that name at every moment; 316 and 276 are renameat2.
    const number = process.arch === 'x64' ? 316 : 276
    const swapping = spawn(
      'perl',
      ['-e', `while (1) { syscall(${number}, -100, "sub", -100, "link", 2) }`],
      { cwd: cache, stdio: 'ignore' },
    )
    const seen = new Map<string, number>()
    try {
      for (let round = 0; round < RACE_ROUNDS; round++) {
        const mounts = Array.from({ length: RACE_MOUNTS }, (_, index) => ({
          ...({ type: 'directory', target: `/m/${index}`, directory: cache } as const),
          ...{ source: '/sub', isReadonly: false },
        }))
        const outcome = await lab
          .run('cd /m; ls -d */inside | wc -l; ls -d */outside 2>/dev/null', { mounts })
          .catch((error: Error & { code?: string }) => error)
        const what = outcome instanceof Error ? String(outcome.code) : outcome.stdout
        seen.set(what, (seen.get(what) ?? 0) + 1)
      }
    } finally {
      swapping.kill('SIGKILL')
    }
    assert.deepEqual([...seen], [[`${RACE_MOUNTS}\n`, RACE_ROUNDS]])
    await rm(cache, { recursive: true })
  })

  it('are told apart from one that ran out of the memory it may use', async function () {
    try {
      await using _probe = await createCgroup({ memoryBytes: 1 << 24 }, undefined)
    } catch (error) {
      // A container whose control groups are not its own.
      const isUnsupported =
        error instanceof SandboxError && error.code === 'sandbox-limit-unsupported'
      if (isUnsupported && process.env['TSBUILD_MUST_WORK'] !== '1') this.skip()
      throw error
    }
    const limits = { memoryBytes: 24 << 20, memorySwapBytes: 24 << 20 }
    const { isOutOfMemory, exitCode } = await lab.run(
      'head -c 200m /dev/zero | tail -c 200m | wc -c; exit 137',
      { limits },
    )
    assert.deepEqual([isOutOfMemory, exitCode], [true, 137])
    assert.equal((await lab.run('true', { limits })).isOutOfMemory, false)
  })
})
