import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { createCgroup } from './cgroup.ts'
import { passDown } from './cgroup-v2.ts'

/** The tree of version 2, which is mounted beside those of version 1 too. */
function mountedTree(): string {
  const line = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .find((text) => text.split(' ')[2] === 'cgroup2')
  assert.ok(line !== undefined, 'no cgroup2 is mounted here')
  return line.split(' ')[1] ?? ''
}

describe('a control group of version 2', () => {
  requires('root')
  const top = `tsbuild-test-v2-${process.pid}`
  const members: ChildProcess[] = []
  let mountPoint: string
  /** Empty when nothing was made: skipped, or no such tree. */
  let directory = ''
  /** One that nobody passes down, so that it can be tried here and taken back. */
  let controller: string

  before(async () => {
    mountPoint = mountedTree()
    const there = (await readFile(join(mountPoint, 'cgroup.controllers'), 'utf8')).split(/\s+/)
    controller = there.find((name) => ['hugetlb', 'pids', 'memory'].includes(name)) ?? ''
    assert.notEqual(controller, '', 'version 2 has none of the controllers that this test can use')
    await mkdir(join(mountPoint, top))
    directory = join(mountPoint, top)
  })
  after(async () => {
    for (const child of members.splice(0)) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    if (directory === '') return
    for (const name of ['a/tsbuild-builder', 'a/b', 'a', ''].map((path) => join(directory, path)))
      if (existsSync(name)) await rmdir(name)
  })

  async function memberOf(group: string): Promise<number> {
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
    members.push(child)
    await writeFile(join(mountPoint, group, 'cgroup.procs'), String(child.pid))
    return child.pid ?? 0
  }

  const hierarchy = (): Parameters<typeof createCgroup>[2] => ({ mountPoint, own: '0::/\n' })

  it('is made below the parent that was asked for, and removed', async () => {
    const group = await createCgroup({}, `${top}/below`, hierarchy())
    const [procs = ''] = group.procs
    assert.ok(procs.startsWith(join(directory, 'below/')), procs)
    assert.equal(await readFile(procs, 'utf8'), '')
    await group[Symbol.asyncDispose]()
    assert.equal(existsSync(procs), false)
    await rmdir(join(directory, 'below'))
  })

  it('names the controllers that are not there, and leaves no group', async () => {
    const parent = `${top}/bare`
    await mkdir(join(mountPoint, parent))
    const here = { mountPoint, own: `/${top}`, path: `/${parent}` }
    await assert.rejects(passDown(here, ['memory', 'none-such']), {
      code: 'sandbox-limit-unsupported',
      message:
        /control group \/tsbuild-test-v2-\d+\/bare has no controllers memory, none-such \(it has none\); .*Delegate=memory none-such/,
    })
    await rmdir(join(mountPoint, parent))
  })

  it('passes controllers down from a group with processes, which it moves to a leaf if it is its own', async () => {
    const root = { mountPoint, own: '/', path: '/' }
    const wasPassed = (await readFile(join(mountPoint, 'cgroup.subtree_control'), 'utf8')).includes(
      controller,
    )
    await passDown(root, [controller])
    try {
      await passDown({ ...root, path: `/${top}` }, [controller])
      const path = `/${top}/a`
      await mkdir(join(mountPoint, path))
      const pids = [await memberOf(path), await memberOf(path)]
      await assert.rejects(passDown({ ...root, path }, [controller]), {
        code: 'sandbox-limit-unsupported',
        message: /could not write "\+\w+" to .*subtree_control: EBUSY/,
      })
      await passDown({ mountPoint, own: path, path }, [controller])
      const leaf = await readFile(join(mountPoint, path, 'tsbuild-builder/cgroup.procs'), 'utf8')
      assert.deepEqual(leaf.trim().split('\n').toSorted(), pids.map(String).toSorted())
      await mkdir(join(mountPoint, path, 'b'))
      assert.equal(
        (await readFile(join(mountPoint, path, 'b/cgroup.controllers'), 'utf8')).trim(),
        controller,
      )
    } finally {
      for (const path of [`${top}/a`, top, ...(wasPassed ? [] : [''])])
        await writeFile(join(mountPoint, path, 'cgroup.subtree_control'), `-${controller}`)
    }
  })
})
