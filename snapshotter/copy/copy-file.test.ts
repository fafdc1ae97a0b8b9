import assert from 'node:assert/strict'
import { mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { copyContent } from './copy-file.ts'

describe('a copied file', () => {
  let directory: string
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-copy-file-'))
  })
  afterEach(async () => {
    await rm(directory, { recursive: true })
  })

  const copy = async (name: string): Promise<string> => {
    const target = join(directory, `${name}-copy`)
    await copyContent(Buffer.from(join(directory, name)), Buffer.from(target))
    return target
  }

  it('has the bytes, at a path where nothing was', async () => {
    for (const size of [0, 1, 5000]) {
      const bytes = Buffer.alloc(size, 'x')
      await writeFile(join(directory, `f${size}`), bytes)
      assert.deepEqual(await readFile(await copy(`f${size}`)), bytes)
    }
    await assert.rejects(copy('f1'), { code: 'EEXIST' })
  })

  it('has the holes of a file that is larger than the disk need be', async () => {
    const path = join(directory, 'holes')
    const file = await open(path, 'w')
    await file.write(Buffer.from('begin'), 0, 5, 0)
    await file.write(Buffer.from('middle'), 0, 6, 40 * 2 ** 20 + 3)
    await file.truncate(200 * 2 ** 20)
    await file.close()
    const copied = await stat(await copy('holes'))
    assert.equal(copied.size, 200 * 2 ** 20)
    assert.ok(copied.blocks * 512 < 10 * 2 ** 20, String(copied.blocks))
    assert.deepEqual(await readFile(`${path}-copy`), await readFile(path))
    await assert.rejects(copy('holes'), { code: 'EEXIST' })
  })
})
