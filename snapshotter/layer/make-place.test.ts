import assert from 'node:assert/strict'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { makePlace } from './make-place.ts'

describe('a place for the files of a layer', () => {
  it('is one new directory, however many were tried', async () => {
    await using parent = await temporaryDirectory()
    const places = Array.from({ length: 20 }, () => makePlace(parent.path, 'layer-'))
    assert.deepEqual(
      (await readdir(parent.path)).map((name) => join(parent.path, name)).sort(),
      places.sort(),
    )
    for (const place of places) {
      assert.match(place, /\/layer-\w{6}$/)
      assert.deepEqual(await readdir(place), ['fs'])
      assert.equal((await stat(place)).mode & 0o7777, 0o700)
      assert.deepEqual(await readdir(join(place, 'fs')), [])
    }
  })

  it('fails as mkdir does', async () => {
    await using parent = await temporaryDirectory()
    assert.throws(() => makePlace(join(parent.path, 'missing'), 'layer-'), { code: 'ENOENT' })
  })
})
