import assert from 'node:assert/strict'
import { chmod, link, mkdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Digest } from '../../registry-client/oci/index.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { kernel } from './kernel.ts'

const { signal } = new AbortController()

async function stateOf(root: string, path = '', skips: readonly string[] = []): Promise<Digest> {
  return (await kernel.treeState({ root, path, skips, signal })).state
}

async function makeTree(root: string): Promise<void> {
  for (const directory of ['a/deep', 'b', 'ignored']) {
    await mkdir(join(root, directory), { recursive: true })
  }
  for (const file of ['a/one', 'a/deep/two', 'b/three', 'top', 'ignored/log']) {
    await writeFile(join(root, file), file)
  }
  await symlink('one', join(root, 'a/link'))
}

describe('the state of a tree', () => {
  it('is the same while nothing changes, whatever the number of threads', async () => {
    await using place = await temporaryDirectory()
    await makeTree(place.path)
    const states = new Set<Digest>()
    for (const threads of ['1', '2', '8']) {
      process.env['TSBUILD_NATIVE_THREADS'] = threads
      states.add(await stateOf(place.path))
    }
    delete process.env['TSBUILD_NATIVE_THREADS']
    assert.equal(states.size, 1)
  })

  const changes: [string, (root: string) => Promise<unknown>][] = [
    ['other bytes of the same size', (root) => writeFile(join(root, 'a/one'), 'a/oNe')],
    [
      'other bytes with the old times',
      async (root) => {
        await writeFile(join(root, 'top'), 'toP')
        await utimes(join(root, 'top'), 1, 1)
      },
    ],
    ['a new mode', (root) => chmod(join(root, 'a/deep/two'), 0o600)],
    ["a directory's new mode", (root) => chmod(join(root, 'b'), 0o700)],
    ['a new file', (root) => writeFile(join(root, 'b/new'), '')],
    ['a removed file', (root) => rm(join(root, 'b/three'))],
    ['a new name', (root) => rename(join(root, 'b/three'), join(root, 'b/four'))],
    ['a moved directory', (root) => rename(join(root, 'b'), join(root, 'a/b'))],
    ['another name of a file', (root) => link(join(root, 'top'), join(root, 'second'))],
    [
      'another target of a link',
      async (root) => {
        await rm(join(root, 'a/link'))
        await symlink('two', join(root, 'a/link'))
      },
    ],
    [
      'a file in the place of a skipped directory',
      async (root) => {
        await rm(join(root, 'ignored'), { recursive: true })
        await writeFile(join(root, 'ignored'), '')
      },
    ],
  ]
  for (const [name, change] of changes) {
    it(`changes with ${name}`, async () => {
      await using place = await temporaryDirectory()
      await makeTree(place.path)
      await utimes(join(place.path, 'top'), 1, 1)
      const before = await stateOf(place.path, '', ['ignored'])
      await change(place.path)
      assert.notEqual(await stateOf(place.path, '', ['ignored']), before)
    })
  }

  it('does not depend on what is outside of the path or in a skipped directory', async () => {
    await using place = await temporaryDirectory()
    await makeTree(place.path)
    const states = async (): Promise<Digest[]> => [
      await stateOf(place.path, 'a'),
      await stateOf(place.path, 'a/one'),
      await stateOf(place.path, '', ['ignored']),
    ]
    const before = await states()
    assert.equal(new Set(before).size, 3)
    await writeFile(join(place.path, 'ignored/another'), '')
    assert.deepEqual(await states(), before)
    await writeFile(join(place.path, 'b/new'), '')
    const after = await states()
    assert.deepEqual(after.slice(0, 2), before.slice(0, 2))
    assert.notEqual(after[2], before[2])
  })

  it('tells the latest change, of any kind but in the times of directories', async () => {
    await using place = await temporaryDirectory()
    await makeTree(place.path)
    await utimes(join(place.path, 'a/one'), 5, 5)
    const { newestSec } = await kernel.treeState({ root: place.path, path: '', skips: [], signal })
    assert.ok(Math.abs(newestSec - Date.now() / 1000) < 60, `${newestSec}`)
  })

  it('cannot be told of what is missing or behind a link', async () => {
    await using place = await temporaryDirectory()
    await makeTree(place.path)
    await symlink('a', join(place.path, 'other'))
    await assert.rejects(stateOf(place.path, 'nothing'), { code: 'ENOENT' })
    await assert.rejects(stateOf(place.path, 'a/link'), { code: 'ELOOP' })
    await assert.rejects(stateOf(place.path, 'other/one'), { code: 'ELOOP' })
  })

  it('is not looked for any longer once it is cancelled', async () => {
    await using place = await temporaryDirectory()
    const controller = new AbortController()
    controller.abort(new Error('enough'))
    const options = { root: place.path, path: '', skips: [], signal: controller.signal }
    await assert.rejects(kernel.treeState(options), /enough/)
  })
})
