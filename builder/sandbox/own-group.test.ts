import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeOwnGroup } from './own-group.ts'

/** In directories: what is asked of the kernel (mkdir, rmdir, flock) is the same. */
describe('the control group of a step', () => {
  let top: string
  let parent: string
  const names = ['0123456789abcdef', 'fedcba9876543210', '00000000000000aa'] as const

  beforeEach(async () => {
    top = await mkdtemp(join(tmpdir(), 'tsbuild-groups-'))
    parent = join(top, 'tsbuild')
  })

  afterEach(() => rm(top, { recursive: true, force: true }))

  it('is removed in the end, and what a killed process left goes before', async () => {
    const [dead, living, own] = names
    await mkdir(join(parent, dead), { recursive: true })
    await mkdir(join(parent, 'tsbuild-builder'))
    await using other = await makeOwnGroup(join(parent, living))
    {
      await using _group = await makeOwnGroup(join(parent, own))
      assert.deepEqual((await readdir(parent)).sort(), [own, living, 'tsbuild-builder'].sort())
    }
    assert.deepEqual((await readdir(parent)).sort(), [living, 'tsbuild-builder'].sort())
    await other[Symbol.asyncDispose]()
    assert.deepEqual(await readdir(parent), ['tsbuild-builder'])
  })

  it('leaves alone what lies below a parent that was asked for', async () => {
    const [theirs, own] = names
    const asked = join(top, 'asked')
    await mkdir(join(asked, theirs), { recursive: true })
    {
      await using _group = await makeOwnGroup(join(asked, own))
    }
    assert.deepEqual(await readdir(asked), [theirs])
  })

  it('is made by many at once', async () => {
    const groups = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        makeOwnGroup(join(parent, i.toString(16).padStart(16, '0'))),
      ),
    )
    assert.equal((await readdir(parent)).length, 20)
    for (const group of groups) await group[Symbol.asyncDispose]()
    assert.deepEqual(await readdir(parent), [])
  })
})
