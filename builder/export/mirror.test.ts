import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { kernel } from '../../snapshotter/index.ts'
import { checkMirrorDestination, keepPaths, removeOthers } from './mirror.ts'
import { openWorkDirectory } from './work-directory.ts'

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

  it('leaves what another export works with, and removes what is of no use any more', async () => {
    const root = await mkdtemp(join(tmpdir(), 'tsbuild-mirror-'))
    try {
      await using used = await openWorkDirectory(root, kernel)
      await mkdir(join(root, '.tsbuild-export-killed'))
      await writeFile(join(root, '.tsbuild-export-killed', 'lock'), '')
      await mkdir(join(root, '.tsbuild-export-nolock'))
      await symlink('.', join(root, '.tsbuild-export-tolink'))
      await writeFile(join(root, '.tsbuild-export-isfile'), '')
      const signal = new AbortController().signal
      await removeOthers(root, new Set(), kernel, signal)
      assert.deepEqual((await readdir(root, { recursive: true })).toSorted(), [
        basename(used.path),
        join(basename(used.path), 'lock'),
      ])
    } finally {
      await rm(root, { recursive: true, force: true })
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
