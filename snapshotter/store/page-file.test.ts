import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PackEntry } from '../native/kernel-types.ts'
import { EntryFile } from '../native/entry-file.ts'
import { digestOf } from '../../registry-client/oci/index.ts'

const metadata = { mode: 0o4755, uid: 1, gid: 0xffff_fffe, mtimeSec: -5 }

describe('a list in a file', () => {
  let directory = ''
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-pages-'))
  })
  afterEach(() => rm(directory, { recursive: true }))
  const newFile = (): string => join(directory, 'f')
  const fifos = (length: number): PackEntry[] =>
    Array.from({ length }, (_, i): PackEntry => ({ type: 'fifo', path: `z${i}`, ...metadata }))

  it('gives entries of every kind as they were, page by page, and removes its file', async () => {
    const xattrs = [{ name: 'security.capability', value: new Uint8Array([0, 255]) }]
    const bytes = new TextEncoder().encode('text')
    const kinds: PackEntry[] = [
      { type: 'dir', path: 'd\udc80', ...metadata, xattrs },
      {
        ...{ type: 'file', path: 'd\udc80/\u00fc\n', ...metadata, sizeBytes: 2 ** 40 },
        source: { kind: 'path', root: '/some/where', path: '\udcff' },
        expect: digestOf('x'),
      },
      {
        ...{ type: 'file', path: 'given', ...metadata, xattrs, sizeBytes: 4 },
        source: { kind: 'bytes', bytes },
      },
      { type: 'symlink', path: 'l', ...metadata, target: '../\u{1f600}' },
      { type: 'hardlink', path: 'm', ...metadata, target: 'given' },
      { type: 'char', path: 'n', ...metadata, major: 1, minor: 3 },
      { type: 'block', path: 'o', ...metadata, major: 4095, minor: 1_048_575 },
      { type: 'fifo', path: 'p', ...metadata },
      { type: 'whiteout', path: 'q' },
      { type: 'opaque', path: 'r' },
    ]
    const many = fifos(1000)
    const file = await EntryFile.of(newFile, [kinds, many])
    const found: PackEntry[] = []
    const lengths: number[] = []
    for await (const page of file.pages()) {
      found.push(...page)
      lengths.push(page.length)
    }
    assert.deepEqual(found, [...kinds, ...many])
    assert.deepEqual(lengths, [512, 498])
    assert.deepEqual((await file.page(1)).at(-1), many.at(-1))
    assert.deepEqual(await file.page(2), [])
    assert.deepEqual([...file.roots], ['/some/where'])
    assert.deepEqual([file.count, file.sizeBytes, file.hasOpaque], [1010, 2 ** 40 + 4, true])
    assert.deepEqual(await readdir(directory), ['f'])
    await file[Symbol.asyncDispose]()
    assert.deepEqual(await readdir(directory), [])
  })

  it('has no file while it is no longer than a page, however it is parted', async () => {
    const entries = fifos(513)
    const file = new EntryFile(newFile)
    await file.add(entries.slice(0, 5))
    await file.endPage()
    await file.add(entries.slice(5, 512))
    await file.endPage()
    assert.deepEqual([file.count, file.pageCount], [512, 2])
    assert.deepEqual(await file.page(0), entries.slice(0, 5))
    assert.deepEqual(await readdir(directory), [])
    await file.add(entries.slice(512))
    await file.endPage()
    assert.deepEqual([file.count, file.pageCount], [513, 3])
    assert.deepEqual(await readdir(directory), ['f'])
    const found: PackEntry[] = []
    for await (const page of file.pages()) found.push(...page)
    assert.deepEqual(found, entries)
    await file[Symbol.asyncDispose]()
    assert.deepEqual(await readdir(directory), [])
  })

  it('refuses to write what the addon would not take', async () => {
    const [bad] = fifos(1).map((entry) => ({ ...entry, mode: -1 }))
    assert.ok(bad !== undefined)
    await assert.rejects(EntryFile.of(newFile, [[...fifos(600), bad]]), { code: 'bad-argument' })
    assert.deepEqual(await readdir(directory), [])
  })

  it('leaves no file when what is to be written fails', async () => {
    async function* failing(): AsyncGenerator<PackEntry[]> {
      yield fifos(1000)
      throw new Error('why')
    }
    await assert.rejects(EntryFile.of(newFile, failing()), /why/)
    assert.deepEqual(await readdir(directory), [])
  })
})
