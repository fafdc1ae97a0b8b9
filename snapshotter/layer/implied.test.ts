import assert from 'node:assert/strict'
import { mkdir, readdir } from 'node:fs/promises'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { noteImpliedDirectories, readImpliedDirectories } from './implied.ts'

describe('implied directories', () => {
  it('are noted beside the layer only when there are any', async () => {
    await using place = await temporaryDirectory()
    await mkdir(`${place.path}/fs`)
    await noteImpliedDirectories(place, [])
    assert.deepEqual(await readdir(place.path), ['fs'])
    assert.deepEqual(await readImpliedDirectories(place), [])
    await noteImpliedDirectories(place, ['\udcff'])
    assert.deepEqual(await readImpliedDirectories(place), ['\udcff'])
  })
})
