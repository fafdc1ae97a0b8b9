import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { digestOf } from '../../registry-client/oci/index.ts'
import { ARCHIVE_LIMITS, ContentsPages, kernel, type PackEntry } from '../../snapshotter/index.ts'
import { temporaryDirectory } from '../../snapshotter/testing/temporary-directory.ts'
import type { ArchiveContents } from './archive.ts'
import { CopyError } from './copy-errors.ts'
import { planCopy } from './copy-plan.ts'
import { type MemoryFile, MemoryTree } from './testing/memory-tree.ts'

const path = fc
  .array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 })
  .map((parts) => parts.join('/'))
const metadata = fc.record({
  mode: fc.constantFrom(0o755, 0o700, 0o2775),
  uid: fc.nat(3),
  gid: fc.nat(3),
  mtimeSec: fc.nat(9),
})
const never = new AbortController().signal
const xattrs = [{ name: 'security.capability', value: new Uint8Array([1, 2]) }]

const entry: fc.Arbitrary<PackEntry> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(path, metadata, fc.boolean()).map(([at, meta, isCapable]): PackEntry => {
      return fileEntry(at, at, { ...meta, ...(isCapable ? { xattrs } : {}) })
    }),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(path, metadata).map(([at, meta]): PackEntry => {
      return { type: 'dir', path: at, ...meta }
    }),
  },
  fc.tuple(path, metadata, path).map(([at, meta, target]): PackEntry => {
    return { type: 'symlink', path: at, ...meta, target }
  }),
  fc.tuple(path, metadata, path).map(([at, meta, target]): PackEntry => {
    return { type: 'hardlink', path: at, ...meta, target }
  }),
)
const archive = fc.array(entry, { minLength: 1, maxLength: 8 })
/** What is there already. */
const below = fc.dictionary(
  path.map((at) => `z/${at}`),
  fc.oneof(
    { weight: 4, arbitrary: metadata.map((meta): MemoryFile => ({ dir: true, ...meta })) },
    path.map((at): MemoryFile => `-> ${at}`),
    fc.constant<MemoryFile>('file'),
  ),
  { maxKeys: 4 },
)

function fileEntry(
  at: string,
  text: string,
  meta: Pick<Extract<PackEntry, { type: 'file' }>, 'mode' | 'uid' | 'gid' | 'mtimeSec' | 'xattrs'>,
): PackEntry {
  const bytes = Buffer.from(text)
  const source = { kind: 'bytes', bytes } as const
  return { ...meta, type: 'file', path: at, sizeBytes: bytes.length, source }
}

/** A tar with these entries, unpacked; undefined when that cannot be. */
async function unpacked(
  directory: string,
  entries: readonly PackEntry[],
): Promise<ArchiveContents | undefined> {
  const root = join(directory, 'root')
  const blob = join(directory, 'blob')
  const contents = join(directory, 'contents')
  await mkdir(root)
  const format = { compression: 'uncompressed', level: undefined, signal: never } as const
  await using packer = kernel.createPacker({ output: blob, ...format })
  await packer.add(entries)
  await packer.finish()
  const how = {
    blob,
    compression: 'auto',
    whiteouts: 'plain',
    userXattr: false,
    ownership: 'none',
    limits: ARCHIVE_LIMITS,
    signal: never,
  } as const
  const list: ArchiveContents['list'] = async () =>
    (await kernel.readLayer({ ...how, extractTo: undefined, entries: 'list' })).entries
  try {
    const read = { ...how, extractTo: root, entries: { contents } }
    const { isPlain } = await kernel.readLayer(read)
    return { list, sorted: isPlain ? await ContentsPages.open(contents) : undefined, root }
  } catch {
    return undefined
  }
}

/** The layer of an ADD of the archive to `/z`, or why there is none. */
async function layerOf(
  contents: ArchiveContents,
  to: Readonly<Record<string, MemoryFile>>,
  chown: string | undefined,
): Promise<readonly PackEntry[] | string> {
  const file = { type: 'file', path: 'a.tar', sizeBytes: 0, linkGroup: undefined } as const
  const match = {
    name: 'a.tar',
    entry: { ...file, mode: 0o644, uid: 0, gid: 0, mtimeSec: 0 },
    digest: digestOf(''),
    items: { count: 0, hasOwn: false, roots: new Set<string>(), pages: () => nothing() },
  }
  const source = {
    type: 'path',
    from: 0,
    pattern: 'a.tar',
    unpack: 'auto',
    isRemote: false,
  } as const
  const tree = new MemoryTree({ 'a.tar': '' })
  const pages = planCopy({
    node: { dest: '/z', destIsDirectory: true, chown, chmod: undefined, epochSec: undefined },
    selection: [{ type: 'path', source, tree, matches: [match], digest: digestOf('') }],
    base: new MemoryTree(to),
    readAccounts: undefined,
    openArchive: () => Promise.resolve(contents),
    nowSec: 99,
  })
  const entries: PackEntry[] = []
  try {
    for await (const page of pages) entries.push(...page)
    return entries
  } catch (error) {
    if (error instanceof CopyError) return error.code
    throw error
  }
}

/** With the bytes of files, wherever they lie; buffers and plain arrays of bytes are equal here. */
function comparable(layer: readonly PackEntry[] | string): unknown {
  if (typeof layer === 'string') return layer
  return layer.map((item) => {
    const attributes = ('xattrs' in item ? item.xattrs : undefined) ?? []
    const values = attributes.map(({ name, value }) => [name, Array.from(value)])
    const text =
      item.type === 'file' && item.source.kind === 'path'
        ? readFileSync(join(item.source.root, item.source.path), 'utf8')
        : undefined
    return { ...item, xattrs: values, source: text }
  })
}

describe('SortedArchive', () => {
  it('gives the layer that the archive unpacked in its order gives', async () => {
    let sortedCount = 0
    const owner = fc.constantFrom(undefined, '7:8')
    await fc.assert(
      fc.asyncProperty(archive, below, owner, async (entries, to, chown) => {
        await using directory = await temporaryDirectory()
        const contents = await unpacked(directory.path, entries)
        fc.pre(contents?.sorted !== undefined)
        sortedCount += 1
        assert.deepEqual(
          comparable(await layerOf(contents, to, chown)),
          comparable(await layerOf({ ...contents, sorted: undefined }, to, chown)),
        )
      }),
      { numRuns: Number(process.env['TSBUILD_PROPERTY_RUNS'] ?? 200) },
    )
    assert.ok(sortedCount > 0)
  })

  const meta = { mode: 0o644, uid: 0, gid: 0, mtimeSec: 5 }
  const odd: Readonly<Record<string, readonly PackEntry[]>> = {
    'has a name twice': [fileEntry('f', '1', meta), fileEntry('f', '2', meta)],
    'goes through its own link': [
      { type: 'dir', path: 'a', ...meta, mode: 0o755 },
      { type: 'symlink', path: 'l', ...meta, target: 'a' },
      fileEntry('l/f', '', meta),
    ],
  }
  for (const [what, entries] of Object.entries(odd)) {
    it(`is not used for an archive that ${what}`, async () => {
      await using directory = await temporaryDirectory()
      const contents = await unpacked(directory.path, entries)
      assert.ok(contents !== undefined)
      assert.equal(contents.sorted, undefined)
    })
  }

  it('does not read the list of an archive whose links name files before them', async () => {
    await using directory = await temporaryDirectory()
    const entries: PackEntry[] = [
      fileEntry('a/f', 'text', meta),
      { type: 'hardlink', path: 'b', ...meta, target: 'a/f' },
    ]
    const contents = await unpacked(directory.path, entries)
    assert.ok(contents?.sorted !== undefined)
    const list = (): never => assert.fail('the list was read')
    const layer = await layerOf({ ...contents, list }, { 'z/a': { dir: true, uid: 5 } }, undefined)
    assert.ok(typeof layer !== 'string')
    assert.deepEqual(
      layer.map(({ type, path: at }) => `${type} ${at}`),
      ['dir z', 'dir z/a', 'file z/a/f', 'hardlink z/b'],
    )
  })
})

async function* nothing(): AsyncGenerator<never> {}
