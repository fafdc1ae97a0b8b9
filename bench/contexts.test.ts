import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { dockerfile, makeContext, manyFiles, oneFile } from './contexts.ts'

describe('bench contexts', () => {
  let place: string

  beforeEach(async () => {
    place = await mkdtemp(join(tmpdir(), 'tsbuild-bench-'))
  })

  afterEach(async () => {
    await rm(place, { recursive: true, force: true })
  })

  it('have the same bytes each time', async () => {
    const hashes: string[] = []
    for (const name of ['a', 'b']) {
      const directory = join(place, name)
      await makeContext(directory, 'registry/', manyFiles(60, 300))
      hashes.push(await hashOf(directory))
    }
    assert.equal(hashes[0], hashes[1])
    const names = await readdir(join(place, 'a'), { recursive: true, withFileTypes: true })
    assert.equal(names.filter((name) => name.isFile()).length, 62)
  })

  it('replace what an interrupted generation left', async () => {
    const directory = join(place, 'context')
    const broken = makeContext(directory, '', () => Promise.reject(new Error('killed')))
    await assert.rejects(broken, /killed/)
    await makeContext(
      directory,
      'here/',
      dockerfile((bases) => [`FROM ${bases}busybox`]),
    )
    assert.deepEqual(await readdir(directory), ['Dockerfile'])
    assert.equal(await readFile(join(directory, 'Dockerfile'), 'utf8'), 'FROM here/busybox\n')
  })

  it('make sparse files that take no room', async () => {
    const directory = join(place, 'sparse')
    await makeContext(directory, '', oneFile(1e9, true))
    const { size, blocks } = await stat(join(directory, 'data.bin'))
    assert.equal(size, 1e9)
    assert.ok(blocks * 512 < 4e6, `${blocks} blocks`)
  })
})

async function hashOf(directory: string): Promise<string> {
  const hash = createHash('sha256')
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const paths = files.map((entry) => join(entry.parentPath, entry.name))
  for (const path of paths.toSorted()) {
    hash.update(path.slice(directory.length)).update(await readFile(path))
  }
  return hash.digest('hex')
}
