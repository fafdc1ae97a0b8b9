import assert from 'node:assert/strict'
import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import type { Digest } from '../../registry-client/oci/index.ts'
import { dir, file } from '../testing/entries.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { writeContents } from '../testing/write-contents.ts'
import { readContents } from './contents.ts'
import type { LayerEntry } from './entry.ts'

async function readAll(path: string): Promise<LayerEntry[]> {
  const all: LayerEntry[] = []
  for await (const batch of readContents(path)) all.push(...batch)
  return all
}

const anyEntry = ((): fc.Arbitrary<LayerEntry> => {
  const path = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('a/b', '\udcff/x', 'line\nfeed', ''),
  )
  const number = fc.nat(4_000_000_000)
  const xattr = fc.record({ name: fc.string(), value: fc.uint8Array() }, { noNullPrototype: true })
  const base = fc.record(
    {
      path,
      mode: number,
      uid: number,
      gid: number,
      mtimeSec: fc.integer(),
      xattrs: fc.array(xattr, { minLength: 1 }),
    },
    { requiredKeys: ['path', 'mode', 'uid', 'gid', 'mtimeSec'], noNullPrototype: true },
  )
  const hex = fc.stringMatching(/^[0-9a-f]{64}$/)
  return fc.oneof(
    base.map((fields): LayerEntry => ({ type: 'dir', ...fields })),
    base.map((fields): LayerEntry => ({ type: 'fifo', ...fields })),
    fc.tuple(base, number, hex).map(
      ([fields, sizeBytes, digest]): LayerEntry => ({
        type: 'file',
        ...fields,
        sizeBytes,
        digest: `sha256:${digest}` as Digest,
      }),
    ),
    fc
      .tuple(base, path)
      .map(([fields, target]): LayerEntry => ({ type: 'symlink', ...fields, target })),
    fc
      .tuple(base, path)
      .map(([fields, target]): LayerEntry => ({ type: 'hardlink', ...fields, target })),
    fc
      .tuple(base, number)
      .map(([fields, major]): LayerEntry => ({ type: 'char', ...fields, major, minor: 1 })),
    fc
      .tuple(base, number)
      .map(([fields, minor]): LayerEntry => ({ type: 'block', ...fields, major: 8, minor })),
    path.map((at): LayerEntry => ({ type: 'whiteout', path: at })),
    path.map((at): LayerEntry => ({ type: 'opaque', path: at })),
  )
})()

describe('table of contents file', () => {
  it('gives back any entries in their order', async () => {
    await using place = await temporaryDirectory()
    let count = 0
    await fc.assert(
      fc.asyncProperty(fc.array(anyEntry, { maxLength: 20 }), async (entries) => {
        count += 1
        const path = join(place.path, `contents-${count}`)
        await writeContents(path, entries)
        assert.deepEqual(await readAll(path), entries)
      }),
      { numRuns: 50 },
    )
  })

  it('holds more entries than a batch, from a stream too', async () => {
    await using place = await temporaryDirectory()
    const path = join(place.path, 'contents')
    const entries = Array.from({ length: 5000 }, (_, index) => file(`directory/file-${index}`))
    await writeContents(path, entries)
    assert.deepEqual(await readAll(path), entries)
  })

  it('refuses a file that was cut short at any byte', async () => {
    await using place = await temporaryDirectory()
    const path = join(place.path, 'contents')
    await writeContents(path, [dir('a'), file('a/b')])
    const { length } = await readFile(path)
    for (let size = length - 1; size >= 0; size -= 1) {
      await truncate(path, size)
      await assert.rejects(readAll(path), { code: 'contents-damaged' })
    }
  })

  it('refuses entries after the end, foreign lines and another version', async () => {
    await using place = await temporaryDirectory()
    const path = join(place.path, 'contents')
    await writeContents(path, [dir('a')])
    await appendFile(path, '[["d","b",493,0,0,0]]\n')
    await assert.rejects(readAll(path), /it goes on after its end/)
    await writeFile(
      path,
      '{"format":"tsbuild-layer-contents","version":1}\n[["x","b"]]\n{"count":1}\n',
    )
    await assert.rejects(readAll(path), /\["x","b"\] is no entry/)
    await writeFile(path, '{"format":"tsbuild-layer-contents","version":2}\n{"count":0}\n')
    await assert.rejects(readAll(path), /its version is 2, not 1/)
  })
})
