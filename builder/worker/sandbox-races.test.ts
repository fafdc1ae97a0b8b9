import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createCgroup } from '../sandbox/cgroup.ts'
import { SandboxError } from '../sandbox/errors.ts'
import { requires } from '../../snapshotter/testing/requires.ts'
import { SandboxLab } from './testing/sandbox-lab.ts'

/** 10,000 tries. */
const RACE_ROUNDS = 25
const RACE_MOUNTS = 400

/** A process that exchanges `sub` and `link` of a directory without pause; it is at it when this resolves. */
async function exchange(directory: string): Promise<AsyncDisposable> {
  // RENAME_EXCHANGE, so that there is something of that name at every moment; 316 and 276 are renameat2.
  const number = process.arch === 'x64' ? 316 : 276
  // In variables: perl refuses to give literals to syscall, as the call might write to them.
  const script = `
    $| = 1; my ($one, $other) = ("sub", "link");
    for (my $i = 0; ; $i++) {
      syscall(${number}, -100, $one, -100, $other, 2) == 0 or die $!;
      print "." if $i == 1000;
    }`
  const swapping = spawn('perl', ['-e', script], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(swapping.stdout, 'data')
  return {
    [Symbol.asyncDispose]: async () => {
      assert.equal(swapping.exitCode, null, 'the process that exchanges has ended before the test')
      swapping.kill('SIGKILL')
      await once(swapping, 'exit')
    },
  }
}

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
    await using _swapping = await exchange(cache)
    const seen = new Map<string, number>()
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
    assert.deepEqual([...seen], [[`${RACE_MOUNTS}\n`, RACE_ROUNDS]])
  })

  it('never have mount points made on the host while the way to them is swapped for a link (CVE-2021-30465, CVE-2026-41568)', async function () {
    this.timeout(120_000)
    const cache = lab.path()
    const canary = lab.path()
    await mkdir(join(cache, 'sub'), { recursive: true })
    await mkdir(canary)
    await symlink(canary, join(cache, 'link'))
    await using _swapping = await exchange(cache)
    const shared = {
      ...({ type: 'directory', target: '/c', directory: cache, source: '/' } as const),
      isReadonly: false,
    }
    const seen = new Set<string>()
    for (let round = 0; round < RACE_ROUNDS; round++) {
      const points = Array.from({ length: RACE_MOUNTS }, (_, index) => ({
        ...({ type: 'tmpfs', sizeBytes: undefined, isReadonly: false } as const),
        target: `/c/sub/${round}-${index}`,
      }))
      // As many mounts as asked for, each inside: below the cache, or where the link leads in the step's own root.
      const { stdout, stderr } = await lab.run(
        `grep -c " \\(/c/\\(sub\\|link\\)\\|${canary}\\)/${round}-" /proc/mounts`,
        { mounts: [shared, ...points] },
      )
      seen.add(stdout + stderr)
      assert.deepEqual(await readdir(canary), [])
    }
    assert.deepEqual([...seen], [`${RACE_MOUNTS}\n`])
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
