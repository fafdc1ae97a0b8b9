import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { kernel } from '../../snapshotter/index.ts'
import { checkMirrorDestination, keepPaths, removeOthers } from './mirror.ts'

describe('mode=delete of local outputs', () => {
  it('removes what is not in the result, and follows no link', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tsbuild-mirror-'))
    try {
      const root = join(directory, 'out')
      await mkdir(join(root, 'linux_amd64', 'kept', 'old'), { recursive: true })
      await mkdir(join(directory, 'outside'))
      await writeFile(join(directory, 'outside', 'file'), '')
      await writeFile(join(root, 'linux_amd64', 'kept', 'file'), '')
      await writeFile(join(root, 'linux_amd64', 'kept', 'old', 'file'), '')
      await writeFile(join(root, 'stale'), '')
      await symlink('../outside', join(root, 'link'))
      const kept = new Set<string>()
      keepPaths(kept, [{ path: 'linux_amd64' }])
      keepPaths(kept, [{ path: 'linux_amd64/kept' }, { path: 'linux_amd64/kept/file' }])
      await removeOthers(root, kept, kernel, new AbortController().signal)
      assert.deepEqual((await readdir(root, { recursive: true })).toSorted(), [
        'linux_amd64',
        'linux_amd64/kept',
        'linux_amd64/kept/file',
      ])
      assert.deepEqual(await readdir(join(directory, 'outside')), ['file'])
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })

  it('is refused where it can only be a mistake', () => {
    for (const dest of ['.', '..', '/', '/work', homedir()]) {
      assert.throws(() => checkMirrorDestination(dest, '/work/app'), {
        code: 'destination-unusable',
      })
    }
    checkMirrorDestination('out', '/work/app')
    checkMirrorDestination('../other', '/work/app')
  })
})
