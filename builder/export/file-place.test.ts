import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, open, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { filePlace, isFollowed } from './file-place.ts'

describe('filePlace', () => {
  let directory = ''
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-place-'))
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  const isStream = async (path: string): Promise<boolean> => (await filePlace(path)).isStream

  it('has files, directories and nothing for what is replaced', async () => {
    const file = join(directory, 'file')
    await writeFile(file, '')
    await symlink('file', join(directory, 'link'))
    for (const path of [file, join(directory, 'link'), directory, join(directory, 'none')]) {
      assert.equal(await isStream(path), false, path)
    }
    assert.equal((await filePlace(join(directory, 'none'))).existing, undefined)
  })

  it('has devices and fifos for what is written to', async () => {
    const fifo = join(directory, 'fifo')
    execFileSync('mkfifo', [fifo])
    assert.equal(await isStream(fifo), true)
    assert.equal(await isStream('/dev/null'), true)
  })

  // As /dev/stdout is, of a shell's `> file`: root once made a file of it, for the whole machine.
  it('has what is open for what is written to, a file too', async () => {
    await using handle = await open(join(directory, 'open'), 'w')
    const descriptor = `/dev/fd/${handle.fd}`
    await symlink(descriptor, join(directory, 'first'))
    await symlink('first', join(directory, 'second'))
    for (const path of [descriptor, join(directory, 'first'), join(directory, 'second')]) {
      assert.equal(await isStream(path), true, path)
    }
  })
})

describe('isFollowed', () => {
  it('is false for a link of another user in a directory that all may write', () => {
    const tmp = { uid: 0, mode: 0o41777 }
    assert.equal(isFollowed(1001, tmp, 1000), false)
    assert.equal(isFollowed(1001, { uid: 1000, mode: 0o1777 }, 0), false)
    assert.equal(isFollowed(1000, tmp, 1000), true)
    assert.equal(isFollowed(0, tmp, 1000), true)
    assert.equal(isFollowed(1001, { uid: 0, mode: 0o755 }, 1000), true)
  })
})
