import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { readContents } from '../layer/contents.ts'
import type { LayerEntry } from '../layer/entry.ts'
import { normalizeEntries } from '../testing/normalize.ts'
import { comparePaths, parentOf } from '../layer/order.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import type { PackEntry } from './kernel-types.ts'
import { bytesEntry, pack, plain, read, rejectsWith } from './testing/layer-files.ts'

/** Few names, so that paths meet: twice, below what was replaced, and in no order. */
const path = fc
  .array(fc.constantFrom('a', 'b', 'a-', 'é', '\udcff'), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join('/'))
const entry: fc.Arbitrary<PackEntry> = fc.oneof(
  fc.tuple(path, fc.string({ maxLength: 3 })).map(([at, content]) => bytesEntry(at, content)),
  path.map((at): PackEntry => ({ type: 'dir', path: at, ...plain })),
  fc.tuple(path, path).map(([at, target]): PackEntry => {
    return { type: 'hardlink', path: at, ...plain, target }
  }),
  path.map((at): PackEntry => ({ type: 'symlink', path: at, ...plain, target: at })),
  path.map((at): PackEntry => ({ type: 'block', path: at, ...plain, major: 8, minor: 1 })),
  path.map((at): PackEntry => ({ type: 'whiteout', path: at })),
  path.map((at): PackEntry => ({ type: 'opaque', path: at })),
)

interface Table {
  readonly entries: readonly LayerEntry[]
  readonly implied: readonly string[]
}

/** What the addon makes of a tar with these entries. */
async function tableOf(directory: string, entries: readonly PackEntry[]): Promise<Table> {
  const blob = join(directory, 'blob')
  const contents = join(directory, 'contents')
  await pack(entries, { output: blob })
  const result = await read(blob, { entries: { contents } })
  assert.deepEqual(result.entries, [])
  assert.deepEqual((await readdir(directory)).sort(), ['blob', 'contents'])
  const all: LayerEntry[] = []
  for await (const batch of readContents(contents)) all.push(...batch)
  return { entries: all, implied: result.implied }
}

/** The same, from the list. */
async function expectedOf(directory: string): Promise<Table> {
  const { entries } = await read(join(directory, 'blob'))
  const described = new Set(['', ...entries.flatMap((e) => (e.type === 'dir' ? [e.path] : []))])
  const implied = new Set<string>()
  for (const { path: at } of entries) {
    for (let above = parentOf(at); !described.has(above); above = parentOf(above)) {
      implied.add(above)
    }
  }
  return { entries: normalizeEntries(entries), implied: [...implied].sort(comparePaths) }
}

describe('the table of contents that is made of a tar', () => {
  it('is its list of entries, normalized, with the directories that are only implied', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 40 }), async (entries) => {
        await using directory = await temporaryDirectory()
        const table = await tableOf(directory.path, entries)
        assert.deepEqual(table, await expectedOf(directory.path))
      }),
      { numRuns: Number(process.env['TSBUILD_PROPERTY_RUNS'] ?? 200) },
    )
  })

  it('is the same when its entries do not fit into memory', async () => {
    await using directory = await temporaryDirectory()
    const target = 'd'.repeat(30_000)
    // 24 MB, each path twice: what is below a directory, then what takes the place of all of it.
    const entries = Array.from({ length: 800 }, (_, index): PackEntry => {
      const number = (index * 7) % 400
      const at = index < 400 && number % 3 === 0 ? `${number}/below` : `${number}`
      return { type: 'symlink', path: at, ...plain, target: `${target}${index}` }
    })
    const table = await tableOf(directory.path, entries)
    assert.equal(table.entries.length, 400 + 134)
    assert.equal(table.implied.length, 134)
    assert.deepEqual(table, await expectedOf(directory.path))
  })

  it('says of a directory what its entry says, wherever that stands in the tar', async () => {
    await using directory = await temporaryDirectory()
    const [at, below] = [dirname('a/b'), bytesEntry('a/b', '')]
    const dir: PackEntry = { type: 'dir', path: at, ...plain, mode: 0o700 }
    const late = await tableOf(directory.path, [below, bytesEntry('x/y/z', ''), dir])
    assert.deepEqual(late.implied, ['x', 'x/y'])
    assert.deepEqual(late.entries[0], { ...plain, type: 'dir', path: 'a', mode: 0o700 })
  })

  it('stays as it is when there is one, and is gone when the archive is broken', async () => {
    await using directory = await temporaryDirectory()
    const blob = join(directory.path, 'blob')
    const contents = join(directory.path, 'contents')
    await tableOf(directory.path, [bytesEntry('a', 'text')])
    await rejectsWith(read(blob, { entries: { contents } }), 'EEXIST', contents)
    assert.deepEqual((await readdir(directory.path)).sort(), ['blob', 'contents'])
    const limits = { uncompressedSizeBytesMax: 1e9, entryCountMax: 0 }
    const other = join(directory.path, 'other')
    await rejectsWith(read(blob, { entries: { contents: other }, limits }), 'bad-archive')
    assert.deepEqual((await readdir(directory.path)).sort(), ['blob', 'contents'])
  })
})
