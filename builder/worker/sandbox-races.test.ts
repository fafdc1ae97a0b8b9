import assert from 'node:assert/strict'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createCgroup } from '../sandbox/cgroup.ts'
import { SandboxError } from '../sandbox/errors.ts'
import { requires } from '../../snapshotter/testing/requires.ts'
import { SandboxLab } from './testing/sandbox-lab.ts'

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

  it('never mount the host while another one swaps the source for a link (CVE-2024-23651, CVE-2024-11218)', async () => {
    const cache = lab.path()
    const canary = lab.path()
    await mkdir(join(cache, 'sub'), { recursive: true })
    await writeFile(join(cache, 'sub/inside'), '')
    await mkdir(canary)
    await writeFile(join(canary, 'outside'), '')
    await symlink(canary, join(cache, 'link'))
    let isDone = false
    const swap = async (): Promise<void> => {
      while (!isDone) {
        await rename(join(cache, 'sub'), join(cache, 'away'))
        await rename(join(cache, 'link'), join(cache, 'sub'))
        await rename(join(cache, 'sub'), join(cache, 'link'))
        await rename(join(cache, 'away'), join(cache, 'sub'))
      }
    }
    const swapping = swap()
    const mount = {
      type: 'directory',
      target: '/m',
      directory: cache,
      source: '/sub',
      isReadonly: false,
    } as const
    const seen = new Set<string>()
    for (let round = 0; round < 20; round++) {
      const run = lab
        .run('ls /m', { mounts: [mount] })
        .catch((error: Error & { code?: string }) => error)
      const outcome = await run
      seen.add(outcome instanceof Error ? String(outcome.code) : outcome.stdout)
    }
    isDone = true
    await swapping
    for (const what of seen) assert.ok(['inside\n', 'sandbox-mount-invalid'].includes(what), what)
    await rm(cache, { recursive: true })
  })

  it('are told apart from one that ran out of the memory it may use', async function () {
    try {
      await using _probe = await createCgroup({ memoryBytes: 1 << 24 }, undefined)
    } catch (error) {
      // A container whose control groups are not its own.
      if (error instanceof SandboxError && error.code === 'sandbox-limit-unsupported') this.skip()
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
