import assert from 'node:assert/strict'
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { positionOf, watchPosition } from './read-position.ts'

describe('the position of a file that is being read', () => {
  let directory: string
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-position-'))
  })
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true })
  })

  it('is what has been read of it so far', async () => {
    const path = join(directory, 'blob')
    await writeFile(path, Buffer.alloc(1000))
    assert.equal(await positionOf([path]), undefined)
    const handle = await open(path)
    try {
      assert.equal(await positionOf(['/other', path]), 0)
      await handle.read(Buffer.alloc(300), 0, 300, null)
      assert.equal(await positionOf([path]), 300)
      await new Promise<void>((resolve) => {
        const watch = watchPosition([path], (bytes) => {
          assert.equal(bytes, 300)
          void watch[Symbol.asyncDispose]().then(resolve)
        })
      })
    } finally {
      await handle.close()
    }
  })
})
