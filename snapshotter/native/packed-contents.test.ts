import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { readContents } from '../layer/contents.ts'
import type { LayerEntry } from '../layer/entry.ts'
import { normalizeEntries } from '../testing/normalize.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import type { PackEntry } from './kernel-types.ts'
import { bytesEntry, pack, plain, rejectsWith } from './testing/layer-files.ts'

/** Names with what JSON, UTF-8 and the order of paths are particular about. */
const name = fc.oneof(
  fc.constantFrom(
    'a',
    'a-',
    'a/b',
    '"',
    '\\',
    '\n',
    '\u007f',
    'é',
    '\u{1f600}',
    '\uffee',
    '\udcff',
  ),
  fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 6 })
    .filter((text) => !/[\0/]|^\.{1,2}$/.test(text)),
)
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
const xattrs = fc.array(
  fc.record({ name: fc.constantFrom('user.a', 'user."é'), value: fc.uint8Array({ maxLength: 7 }) }),
  { minLength: 1, maxLength: 2 },
)
const metadata = fc.record({
  mode: fc.nat(0o7777),
  uid: fc.nat(4_000_000_000),
  gid: fc.nat(4_000_000_000),
  mtimeSec: fc.integer(),
})
const entry: fc.Arbitrary<PackEntry> = fc.oneof(
  fc.tuple(path, fc.string()).map(([at, content]) => bytesEntry(at, content)),
  fc.tuple(path, metadata, xattrs).map(([at, meta, attributes]): PackEntry => {
    return { type: 'dir', path: at, ...meta, xattrs: attributes }
  }),
  fc.tuple(path, metadata, name).map(([at, meta, target]): PackEntry => {
    return { type: 'symlink', path: at, ...meta, target }
  }),
  path.map((at): PackEntry => ({ type: 'char', path: at, ...plain, major: 1, minor: 3 })),
  path.map((at): PackEntry => ({ type: 'whiteout', path: at })),
  path.map((at): PackEntry => ({ type: 'opaque', path: at })),
)

async function readTable(file: string): Promise<LayerEntry[]> {
  const all: LayerEntry[] = []
  for await (const batch of readContents(file)) all.push(...batch)
  return all
}

/** Buffers and plain arrays of bytes are equal here. */
function comparable(entries: readonly LayerEntry[]): unknown[] {
  return entries.map((item) => JSON.parse(JSON.stringify(item, asBytes)))
}

function asBytes(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Array.from(value) : value
}

describe('the table of contents that the packer writes', () => {
  it('is read as the entries that were packed', async () => {
    await using directory = await temporaryDirectory()
    let count = 0
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 30 }), async (entries) => {
        const ordered = normalizeEntries<LayerEntry>(entries as unknown as LayerEntry[])
        count += 1
        const contents = join(directory.path, String(count))
        const { entries: packed } = await pack(ordered as unknown as PackEntry[])
        const { entries: none } = await pack(ordered as unknown as PackEntry[], { contents })
        assert.deepEqual(none, [])
        assert.deepEqual(comparable(await readTable(contents)), comparable(packed))
      }),
      { numRuns: Number(process.env['TSBUILD_PROPERTY_RUNS'] ?? 100) },
    )
  })

  it('has lines of 512 entries', async () => {
    await using directory = await temporaryDirectory()
    const contents = join(directory.path, 'contents')
    const names = Array.from({ length: 1100 }, (_, i) => `f${String(i).padStart(5, '0')}`)
    await pack(
      names.map((at) => bytesEntry(at, at)),
      { contents },
    )
    const sizes: number[] = []
    for await (const batch of readContents(contents)) sizes.push(batch.length)
    assert.deepEqual(sizes, [512, 512, 76])
  })

  it('is refused, and leaves no file, for entries in another order', async () => {
    await using directory = await temporaryDirectory()
    const contents = join(directory.path, 'contents')
    const output = join(directory.path, 'blob')
    const wrong = [bytesEntry('b', ''), bytesEntry('a', '')]
    const twice = [bytesEntry('a', ''), bytesEntry('a', '')]
    await rejectsWith(pack(wrong, { contents, output }), 'bad-argument', 'a')
    await rejectsWith(pack(twice, { contents, output }), 'bad-argument', 'a')
    assert.deepEqual(await readdir(directory.path), [])
  })
})
