import assert from 'node:assert/strict'
import { mkdir, readdir } from 'node:fs/promises'
import { dir, file, whiteout } from '../testing/entries.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { impliedDirectories, noteImpliedDirectories, readImpliedDirectories } from './implied.ts'

describe('implied directories', () => {
  it('are those that entries need and none describes', () => {
    const entries = [dir('a'), file('a/b/c/d'), whiteout('x/y'), dir('a/b/c'), file('top')]
    assert.deepEqual(impliedDirectories(entries), ['a/b', 'x'])
  })

  it('are noted beside the layer only when there are any', async () => {
    await using place = await temporaryDirectory()
    await mkdir(`${place.path}/fs`)
    await noteImpliedDirectories(place, [dir('a'), file('a/b')])
    assert.deepEqual(await readdir(place.path), ['fs'])
    assert.deepEqual(await readImpliedDirectories(place), [])
    await noteImpliedDirectories(place, [file('\udcff/b')])
    assert.deepEqual(await readImpliedDirectories(place), ['\udcff'])
  })
})
