import assert from 'node:assert/strict'
import { CopyError } from './copy-errors.ts'
import { MemoryTree } from './testing/memory-tree.ts'
import { planMkdir } from './mkdir.ts'

async function mkdir(path: string, user = ''): Promise<string[]> {
  const entries = await planMkdir({
    node: { path, user, epochSec: undefined },
    base: new MemoryTree({
      srv: { dir: true, mode: 0o700, uid: 4, mtimeSec: 3 },
      link: '-> /srv',
      shared: { dir: true, mode: 0o2775, uid: 5, gid: 6, mtimeSec: 3 },
      file: 'x',
    }),
    readAccounts: async () => new TextEncoder().encode('app:x:7:8::/:\n'),
    nowSec: 50,
  })
  return entries.map((entry) =>
    entry.type === 'dir'
      ? `${entry.mode.toString(8)} ${entry.uid}:${entry.gid} ${entry.path} @${entry.mtimeSec}`
      : entry.type,
  )
}

describe('planMkdir', () => {
  it('makes what is missing for the user and leaves what exists as it is', async () => {
    assert.deepEqual(await mkdir('/srv/a/b', 'app'), [
      '700 4:0 srv @3',
      '755 7:8 srv/a @50',
      '755 7:8 srv/a/b @50',
    ])
  })

  it('follows symlinks inside the root', async () => {
    assert.deepEqual(await mkdir('/link/a'), ['700 4:0 srv @3', '755 0:0 srv/a @50'])
  })

  it('makes directories as mkdir(2) does in a set-group-id directory', async () => {
    assert.deepEqual(await mkdir('/shared/a/b'), [
      '2775 5:6 shared @3',
      '2755 0:6 shared/a @50',
      '2755 0:6 shared/a/b @50',
    ])
    assert.deepEqual(await mkdir('/shared/a', 'app'), [
      '2775 5:6 shared @3',
      '2755 7:8 shared/a @50',
    ])
  })

  it('has no entries when the directory exists', async () => {
    assert.deepEqual(await mkdir('/link', 'app'), [])
    assert.deepEqual(await mkdir('/'), [])
  })

  it('refuses a file in the way', async () => {
    for (const path of ['/file', '/file/x']) {
      await assert.rejects(
        mkdir(path),
        (error) => error instanceof CopyError && error.code === 'copy-conflict',
      )
    }
  })
})
