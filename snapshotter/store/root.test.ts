import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { STATE_FORMAT, defaultStateRoot, openStateRoot } from './root.ts'

describe('state root', () => {
  it('is made with all its directories, closed to others whatever the umask', async () => {
    await using place = await temporaryDirectory()
    const before = process.umask(0)
    try {
      const root = await openStateRoot(join(place.path, 'deep/state'))
      for (const name of [root.path, root.blobsDir, root.layersDir, root.cacheDir, root.workDir]) {
        assert.equal((await stat(name)).mode & 0o777, 0o700, name)
      }
      assert.deepEqual((await readdir(root.path)).sort(), [
        'blobs',
        'cache',
        'contexts',
        'format',
        'images',
        'layers',
        'mounts',
        'work',
      ])
      assert.deepEqual((await readdir(root.workDir)).sort(), ['locks', 'trash'])
    } finally {
      process.umask(before)
    }
  })

  it('is opened by any number of processes at once', async () => {
    await using place = await temporaryDirectory()
    await Promise.all(Array.from({ length: 8 }, () => openStateRoot(join(place.path, 'state'))))
    const root = await openStateRoot(join(place.path, 'state'))
    assert.deepEqual((await readdir(root.workDir)).sort(), ['locks', 'trash'])
  })

  it('is completed when its creation was killed', async () => {
    await using place = await temporaryDirectory()
    await mkdir(join(place.path, 'work'))
    await mkdir(join(place.path, 'blobs/sha256'), { recursive: true })
    const root = await openStateRoot(place.path)
    assert.ok((await stat(root.cacheDir)).isDirectory())
  })

  it('is refused when a later version wrote it', async () => {
    await using place = await temporaryDirectory()
    await openStateRoot(place.path)
    await rm(join(place.path, 'format'))
    await writeFile(join(place.path, 'format'), `tsbuild state ${STATE_FORMAT + 1}\n`)
    await assert.rejects(openStateRoot(place.path), {
      code: 'state-root-newer',
      message: /format is 2, .* up to 1/,
    })
  })

  it('is refused when it is somebody else’s directory, and leaves that alone', async () => {
    await using place = await temporaryDirectory()
    await writeFile(join(place.path, 'thesis.tex'), 'years of work')
    await assert.rejects(openStateRoot(place.path), {
      code: 'state-root-unusable',
      message: /"thesis.tex"/,
    })
    assert.deepEqual(await readdir(place.path), ['thesis.tex'])
  })

  it('is refused where no directory can be, in words', async () => {
    await using place = await temporaryDirectory()
    const file = join(place.path, 'file')
    await writeFile(file, '')
    for (const path of [file, join(file, 'root')]) {
      await assert.rejects(openStateRoot(path), {
        code: 'state-root-unusable',
        message: `could not use state root ${path}: not a directory`,
      })
    }
  })

  it('is refused when its format file is not ours or everybody can write', async () => {
    await using place = await temporaryDirectory()
    await openStateRoot(place.path)
    await chmod(place.path, 0o777)
    await assert.rejects(openStateRoot(place.path), {
      code: 'state-root-unusable',
      message: /mode 777/,
    })
    await chmod(place.path, 0o700)
    await writeFile(join(place.path, 'format'), 'letter paper\n')
    await assert.rejects(openStateRoot(place.path), { code: 'state-root-unusable' })
  })

  it('is where TSBUILD_ROOT says, else where the user’s kind of data goes', () => {
    const user = { uid: 1000, home: '/home/a' }
    assert.equal(defaultStateRoot({ TSBUILD_ROOT: '/x' }, user), '/x')
    assert.equal(defaultStateRoot({}, { uid: 0, home: '/root' }), '/var/lib/tsbuild')
    assert.equal(defaultStateRoot({ XDG_DATA_HOME: '/data' }, user), '/data/tsbuild')
    assert.equal(
      defaultStateRoot({ XDG_DATA_HOME: 'relative' }, user),
      '/home/a/.local/share/tsbuild',
    )
  })
})
