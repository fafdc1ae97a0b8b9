import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { digestOf } from '../../registry-client/oci/index.ts'
import {
  ARCHIVE_LIMITS,
  ContentsPages,
  kernel,
  type LayerEntry,
  type PackEntry,
} from '../../snapshotter/index.ts'
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
    arbitrary: fc
      .tuple(path, metadata, fc.boolean(), fc.nat(99))
      .map(([at, meta, isCapable, text]): PackEntry => {
        return fileEntry(at, `${text}`, { ...meta, ...(isCapable ? { xattrs } : {}) })
      }),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(path, metadata, fc.nat(9)).map(([at, meta, special]): PackEntry => {
      return { type: 'dir', path: at, ...meta, ...(special === 0 ? { xattrs } : {}) }
    }),
  },
  fc.tuple(path, metadata, path).map(([at, meta, target]): PackEntry => {
    return { type: 'symlink', path: at, ...meta, target }
  }),
  fc.tuple(path, metadata, path).map(([at, meta, target]): PackEntry => {
    return { type: 'hardlink', path: at, ...meta, target }
  }),
)
/** Some have one kind only: what is mixed is not unpacked in the order of its paths. */
const archive = fc.oneof(
  fc.array(entry, { minLength: 1, maxLength: 8 }),
  fc.array(
    entry.filter(({ type, path: at }) => (type === 'dir') === at.length < 4),
    { minLength: 1, maxLength: 8 },
  ),
)
const archives = fc.array(archive, { minLength: 1, maxLength: 3 })
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

/** The layer of an ADD of the archives to `/z`, or why there is none. */
async function layerOf(
  contents: readonly ArchiveContents[],
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
  const opened = contents.values()
  const tree = new MemoryTree({ 'a.tar': '' })
  const pages = planCopy({
    node: { dest: '/z', destIsDirectory: true, chown, chmod: undefined, epochSec: undefined },
    selection: contents.map(() => {
      return { type: 'path', source, tree, matches: [match], digest: digestOf('') }
    }),
    base: new MemoryTree(to),
    readAccounts: undefined,
    openArchive: () => Promise.resolve(opened.next().value),
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

describe('SortedArchives', () => {
  it('gives the layer that archives unpacked in their order give', async () => {
    const sortedCounts = new Map<number, number>()
    const owner = fc.constantFrom(undefined, '7:8')
    await fc.assert(
      fc.asyncProperty(archives, below, owner, async (all, to, chown) => {
        await using directory = await temporaryDirectory()
        const contents: ArchiveContents[] = []
        const listed: ArchiveContents[] = []
        let lists = 0
        for (const [index, entries] of all.entries()) {
          const at = join(directory.path, String(index))
          await mkdir(at)
          const one = await unpacked(at, entries)
          fc.pre(one?.sorted !== undefined)
          const list = async (): Promise<readonly LayerEntry[]> => {
            lists += 1
            return await one.list()
          }
          contents.push({ ...one, list })
          listed.push({ ...one, sorted: undefined })
        }
        const layer = await layerOf(contents, to, chown)
        if (lists === 0) sortedCounts.set(all.length, (sortedCounts.get(all.length) ?? 0) + 1)
        assert.deepEqual(comparable(layer), comparable(await layerOf(listed, to, chown)))
      }),
      { numRuns: Number(process.env['TSBUILD_PROPERTY_RUNS'] ?? 200) },
    )
    assert.deepEqual([...sortedCounts.keys()].sort(), [1, 2, 3])
  })

  const meta = { mode: 0o644, uid: 0, gid: 0, mtimeSec: 5 }
  const odd: Readonly<Record<string, readonly PackEntry[]>> = {
    'has a name twice, and a hard link to the first': [
      fileEntry('f', '1', meta),
      { type: 'hardlink', path: 'l', ...meta, target: 'f' },
      fileEntry('f', '2', meta),
    ],
    'has a file where a directory was': [
      { type: 'dir', path: 'a', ...meta, mode: 0o755 },
      fileEntry('a', '', meta),
    ],
    'has a directory twice that hands its group down once': [
      { type: 'dir', path: 'a', ...meta, mode: 0o2755 },
      { type: 'dir', path: 'a', ...meta, mode: 0o755 },
    ],
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

  it('does not read the list of archives that have names twice', async () => {
    const contents: ArchiveContents[] = []
    await using directory = await temporaryDirectory()
    for (const name of ['first', 'second']) {
      const at = join(directory.path, name)
      await mkdir(at)
      const files = ['1', '2'].map((text) => fileEntry('a/f', name + text, meta))
      const own = fileEntry(`a/${name}`, name, meta)
      const entries: PackEntry[] = [
        ...['a', 'a'].map((dir) => ({ type: 'dir', path: dir, ...meta, mode: 0o755 }) as const),
        ...[...files, own],
      ]
      const one = await unpacked(at, entries)
      assert.ok(one?.sorted !== undefined)
      contents.push({ ...one, list: () => assert.fail('the list was read') })
    }
    const layer = await layerOf(contents, {}, undefined)
    assert.ok(typeof layer !== 'string')
    const texts = layer.map((item) =>
      item.type === 'file' && item.source.kind === 'path'
        ? readFileSync(join(item.source.root, item.source.path), 'utf8')
        : undefined,
    )
    assert.deepEqual(
      layer.map(({ path: at }, index) => [at, texts[index]]),
      [
        ['z', undefined],
        ['z/a', undefined],
        ['z/a/f', 'second2'],
        ['z/a/first', 'first'],
        ['z/a/second', 'second'],
      ],
    )
  })

  it('does not read the list of an archive whose links name files before them', async () => {
    await using directory = await temporaryDirectory()
    const entries: PackEntry[] = [
      fileEntry('a/f', 'text', meta),
      { type: 'hardlink', path: 'b', ...meta, target: 'a/f' },
    ]
    const contents = await unpacked(directory.path, entries)
    assert.ok(contents?.sorted !== undefined)
    const list = (): never => assert.fail('the list was read')
    const layer = await layerOf(
      [{ ...contents, list }],
      { 'z/a': { dir: true, uid: 5 } },
      undefined,
    )
    assert.ok(typeof layer !== 'string')
    assert.deepEqual(
      layer.map(({ type, path: at }) => `${type} ${at}`),
      ['dir z', 'dir z/a', 'file z/a/f', 'hardlink z/b'],
    )
  })
})

async function* nothing(): AsyncGenerator<never> {}
