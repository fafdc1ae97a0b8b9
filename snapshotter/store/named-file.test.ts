import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { NamedFile, readText, writeText } from './named-file.ts'

describe('a file that errors name', () => {
  it('is named by what cannot be read or written, with the code of the system call', async () => {
    await using place = await temporaryDirectory()
    const cases: readonly (readonly [() => Promise<unknown>, string, string])[] = [
      [() => readText('a note', place.path), 'read a note from', 'EISDIR'],
      [() => writeText('a note', '/dev/full', 'text'), 'write a note to', 'ENOSPC'],
      [() => writeText('a note', place.path, '', { flag: 'wx' }), 'write a note to', 'EEXIST'],
      [
        async () => {
          await using file = await NamedFile.open('a list', place.path)
          await file.readAt(0, 1)
        },
        'read a list from',
        'EISDIR',
      ],
      [
        async () => {
          await using file = await NamedFile.open('a list', '/dev/null')
          await file.writeAt(0, Buffer.from('x'))
        },
        'write a list to',
        'EBADF',
      ],
    ]
    for (const [call, doing, code] of cases) {
      await assert.rejects(call, (error: unknown) => {
        assert.ok(error instanceof Error && 'code' in error)
        assert.equal(error.code, code)
        assert.match(error.message, new RegExp(`^could not ${doing} /[^ ]+: ${code}: `))
        return true
      })
    }
  })

  it('gives what was written at a place, and less at its end', async () => {
    await using place = await temporaryDirectory()
    const path = join(place.path, 'f')
    await using file = await NamedFile.create('a list', path)
    await file.writeAt(3, Buffer.from('defgh'))
    await file.writeAt(0, Buffer.from('abc'))
    await file.sync()
    assert.equal(await file.sizeBytes(), 8)
    assert.equal(String(await file.readAt(2, 3)), 'cde')
    assert.equal(String(await file.readAt(6, 100)), 'gh')
    assert.equal(String(await file.readAt(9, 1)), '')
    await assert.rejects(NamedFile.create('a list', path), { code: 'EEXIST' })
    await writeFile(path, 'new')
    assert.equal(await readText('a list', path), 'new')
  })
})
