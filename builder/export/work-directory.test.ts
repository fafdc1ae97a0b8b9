import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { kernel, KernelError } from '../../snapshotter/index.ts'
import { openWorkDirectory } from './work-directory.ts'

describe('a work directory in a destination', () => {
  let parent: string

  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'tsbuild-parent-'))
  })

  afterEach(() => rm(parent, { recursive: true, force: true }))

  /** What a process leaves that was killed: its lock is free. */
  async function leftover(name: string, mode = 0o700): Promise<void> {
    const path = join(parent, name)
    await mkdir(join(path, 'image-abcdef/0'), { recursive: true })
    await writeFile(join(path, 'lock'), '')
    await writeFile(join(path, 'image-abcdef/0/file'), 'x')
    await chmod(path, mode)
  }

  it('is gone afterwards, with what killed processes left there', async () => {
    await leftover('.tsbuild-export-abcdef')
    await writeFile(join(parent, 'file'), '')
    {
      await using work = await openWorkDirectory(parent, kernel)
      await writeFile(join(work.path, 'unfinished'), '')
      assert.deepEqual((await readdir(parent)).sort(), [basename(work.path), 'file'])
    }
    assert.deepEqual(await readdir(parent), ['file'])
  })

  it('stays while somebody uses it', async () => {
    await using first = await openWorkDirectory(parent, kernel)
    await writeFile(join(first.path, 'unfinished'), '')
    {
      await using second = await openWorkDirectory(parent, kernel)
      assert.notEqual(second.path, first.path)
    }
    assert.deepEqual((await readdir(first.path)).sort(), ['lock', 'unfinished'])
  })

  it('takes nothing that only has such a name', async () => {
    await leftover('.tsbuild-export-abcdefg')
    await leftover('.tsbuild-export-public', 0o755)
    await mkdir(join(parent, '.tsbuild-export-nolock'))
    await chmod(join(parent, '.tsbuild-export-nolock'), 0o700)
    await writeFile(join(parent, '.tsbuild-export-aafile'), '')
    await symlink('/', join(parent, '.tsbuild-export-rlink1'))
    await symlink('.tsbuild-export-abcdefg', join(parent, '.tsbuild-export-aalink'))
    const before = (await readdir(parent)).sort()
    {
      await using _work = await openWorkDirectory(parent, kernel)
    }
    assert.deepEqual((await readdir(parent)).sort(), before)
  })

  it('needs no locks, and takes nothing where there are none', async () => {
    await leftover('.tsbuild-export-abcdef')
    const tryLock = (): never => {
      throw new KernelError('ENOLCK', 'could not lock')
    }
    {
      await using work = await openWorkDirectory(parent, { ...kernel, tryLock })
      assert.equal((await readdir(parent)).length, 2, work.path)
    }
    assert.deepEqual(await readdir(parent), ['.tsbuild-export-abcdef'])
  })

  it('can be made by many at once', async () => {
    await leftover('.tsbuild-export-abcdef')
    const uses = Array.from({ length: 20 }, async (_, i) => {
      await using work = await openWorkDirectory(parent, kernel)
      await writeFile(join(work.path, 'mine'), `${i}`)
      assert.deepEqual((await readdir(work.path)).includes('mine'), true)
    })
    await Promise.all(uses)
    assert.deepEqual(await readdir(parent), [])
  })
})
