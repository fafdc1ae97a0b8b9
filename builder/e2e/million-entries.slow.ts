import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { MemoryWatch } from '../../bench/memory.ts'
import { requires } from '../../snapshotter/testing/requires.ts'
import { CLI, mustRun } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'

const COUNT = 1_000_000
/** All processes together. */
const MEMORY_MAX_BYTES = 300_000_000

/** A filesystem in memory: making the files on a disk takes minutes. */
async function inMemory(dir: string): Promise<AsyncDisposable> {
  await mkdir(dir)
  await mustRun('mount', ['-t', 'tmpfs', '-o', `size=4g,nr_inodes=${3 * COUNT}`, 'tmpfs', dir])
  return {
    async [Symbol.asyncDispose]() {
      await mustRun('umount', ['--lazy', dir])
    },
  }
}

/** The peak of a build's memory. */
async function peakOf(lab: Lab, args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [CLI, 'build', '--progress=quiet', ...args], {
    env: lab.env(),
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  assert.ok(child.pid !== undefined)
  const watch = new MemoryWatch(child.pid, [])
  const [status]: unknown[] = await once(child, 'close')
  const peak = watch.stop()
  assert.equal(status, 0)
  return peak
}

describe('a directory with a million files', function () {
  this.timeout(600_000)
  requires('root')

  it('is copied, and is a base image, in the memory that a small one takes', async () => {
    await using lab = await Lab.open()
    const dir = join(lab.dir, 'memory')
    await using _mounted = await inMemory(dir)
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY d /d\n' }, 'memory/context')
    await mkdir(join(context, 'd'))
    await mustRun('sh', ['-c', `seq 1 ${COUNT} | xargs -n 5000 touch`], { cwd: join(context, 'd') })
    const layout = join(dir, 'layout')
    const places = ['--root', join(dir, 'state')]
    const output = `type=oci,tar=false,dest=${layout}`
    const copied = await peakOf(lab, [...places, '--output', output, context])
    assert.ok(copied < MEMORY_MAX_BYTES, `COPY took ${copied} bytes`)

    const list = `tar -tzf "$1" | wc -l`
    const { stdout } = await mustRun('sh', ['-c', list, 'sh', await largestBlob(layout)])
    assert.equal(Number(stdout), COUNT + 1)

    const over = await lab.context(
      { Dockerfile: 'FROM base\nCOPY Dockerfile /d/1000001\n' },
      'over',
    )
    const base = ['--build-context', `base=oci-layout://${layout}`]
    const read = await peakOf(lab, ['--root', join(dir, 'other-state'), ...base, over])
    assert.ok(read < MEMORY_MAX_BYTES, `COPY over it took ${read} bytes`)
  })
})

async function largestBlob(layout: string): Promise<string> {
  const folder = join(layout, 'blobs/sha256')
  const sized = await Promise.all(
    (await readdir(folder)).map(async (name) => {
      const path = join(folder, name)
      return { path, sizeBytes: (await stat(path)).size }
    }),
  )
  const [largest] = sized.sort((a, b) => b.sizeBytes - a.sizeBytes)
  assert.ok(largest !== undefined)
  return largest.path
}
