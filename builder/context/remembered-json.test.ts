import assert from 'node:assert/strict'
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryDirectory } from '../../snapshotter/testing/temporary-directory.ts'
import { recallJson, rememberJson } from './remembered-json.ts'

describe('what an earlier build kept', () => {
  it('is there again', async () => {
    await using place = await temporaryDirectory()
    const file = join(place.path, 'kept')
    await rememberJson(file, { a: [1] }, join(place.path, 'new'))
    assert.deepEqual(await recallJson(file), { a: [1] })
    await rememberJson(file, null, join(place.path, 'new'))
    assert.equal(await recallJson(file), null)
    assert.deepEqual(await readdir(place.path), ['kept'])
  })

  it('is made again when it is missing or damaged, or the disk does not give it', async () => {
    await using place = await temporaryDirectory()
    const file = (name: string): string => join(place.path, name)
    await writeFile(file('damaged'), '{"a":')
    // There is no memory at address 0, so reading it gives EIO.
    await symlink(`/proc/${process.pid}/mem`, file('unreadable'))
    for (const name of ['missing', 'damaged', 'unreadable']) {
      assert.equal(await recallJson(file(name)), undefined, name)
    }
    await mkdir(file('directory'))
    await assert.rejects(recallJson(file('directory')), { code: 'EISDIR' })
  })

  it('is whole or not there', async () => {
    await using place = await temporaryDirectory()
    const file = join(place.path, 'kept')
    await mkdir(file)
    await assert.rejects(rememberJson(file, 1, join(place.path, 'new')), { code: 'EISDIR' })
    assert.deepEqual(await readdir(place.path), ['kept'])
  })
})
