import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { kernel } from '../native/kernel.ts'
import type { Kernel, ScannedEntry } from '../native/kernel-types.ts'
import { walkTree, walkWholeTree } from './walk-tree.ts'

const never = new AbortController().signal

describe('walking a tree', () => {
  let root = ''
  const listed: string[] = []
  /** As the kernel, but with so few children at a time. */
  const withMax = (entriesMax: number): Pick<Kernel, 'listDirectories' | 'listChildren'> => ({
    listDirectories: (paths, options) => {
      listed.push(...paths)
      return kernel.listDirectories(paths, {
        ...options,
        entriesMax: Math.min(entriesMax, options.entriesMax),
      })
    },
    listChildren: kernel.listChildren,
  })

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'tsbuild-walk-'))
    listed.length = 0
  })
  afterEach(() => rmSync(root, { recursive: true }))

  const write = (paths: readonly string[]): void => {
    for (const path of paths) {
      mkdirSync(join(root, dirname(path)), { recursive: true })
      writeFileSync(join(root, path), '')
    }
  }

  const walked = async (entriesMax: number, path = '', closed: readonly string[] = []) => {
    const found: string[] = []
    const pages = walkTree<number>({
      ...{ kernel: withMax(entriesMax), root, path, withXattrs: false, signal: never },
      scope: 1,
      keeps: (entry) => !entry.path.endsWith('.not'),
      enter: (entry, depth) => {
        assert.equal(entry.path.split('/').length, depth)
        return { isKept: true, scope: closed.includes(entry.path) ? undefined : depth + 1 }
      },
    })
    for await (const page of pages) found.push(...page.map((entry) => entry.path))
    return found
  }

  it('gives what scanTree gives, in its order, however few children are listed at a time', async () => {
    write([
      'b/x',
      'b/y/z',
      'b-1',
      'b.d/e/f/g',
      'a/1',
      'a/2/3/4',
      'a/2.5',
      'c/\u00fc',
      'c/z',
      'd/0/1',
    ])
    mkdirSync(join(root, 'empty/within'), { recursive: true })
    const scanned = await kernel.scanTree({ root, withXattrs: false, signal: never })
    const expected = scanned.map(({ path }) => path)
    assert.ok(expected.length > 20)
    for (const entriesMax of [1, 2, 3, 5, 1000]) {
      assert.deepEqual(await walked(entriesMax), expected)
    }
  })

  it('gives a directory with many children in parts, and what is in them', async () => {
    const names = Array.from({ length: 17_000 }, (_, i) => `n${String(i).padStart(6, '0')}`)
    write(names)
    write(['n000010.d/in', 'n009000.d/in', 'n016999.d/in'])
    const expected = [
      ...names,
      ...['n000010.d', 'n009000.d', 'n016999.d'].flatMap((d) => [d, `${d}/in`]),
    ]
    assert.deepEqual(await walked(1_000_000), expected.sort())
    assert.deepEqual(listed, ['', 'n000010.d', 'n009000.d', 'n016999.d'])
  })

  it('gives a whole tree at once while it is small, else in pages', async () => {
    for (let directory = 0; directory < 5; directory += 1) {
      write(Array.from({ length: 818 }, (_, i) => `d${directory}/${i}`))
    }
    const options = { root, withXattrs: true, signal: never }
    for (const [entryCount, pageCount] of [
      [4095, 1],
      [4096, 1],
      [4097, 2],
    ] as const) {
      const expected = await kernel.scanTree(options)
      assert.equal(expected.length, entryCount)
      const small = await kernel.scanSmallTree({ ...options, entriesMax: entryCount })
      assert.deepEqual(small, expected)
      const tooSmall = { ...options, entriesMax: entryCount - 1 }
      assert.equal(await kernel.scanSmallTree(tooSmall), undefined)
      const pages: (readonly ScannedEntry[])[] = []
      for await (const page of walkWholeTree(root, kernel, never)) pages.push(page)
      assert.equal(pages.length, pageCount)
      assert.deepEqual(pages.flat(), expected)
      write([`e${entryCount}`])
    }
    assert.equal(
      await kernel.scanSmallTree({ ...options, entriesMax: 1 }),
      undefined,
      'of the root alone',
    )
  })

  it('enters and gives only what it is told to', async () => {
    write(['a/x', 'a/y.not', 'closed/deep/z', 'q.not'])
    assert.deepEqual(await walked(100, '', ['closed']), ['a', 'a/x', 'closed'])
    assert.deepEqual(listed, ['', 'a'])
    assert.deepEqual(await walkedBelow('a'), ['a/x'])
    assert.deepEqual(await walkedBelow('missing'), [])
    assert.deepEqual(await walkedBelow('q.not'), [])
  })

  const walkedBelow = async (path: string): Promise<string[]> => {
    const found: string[] = []
    const options = { kernel, root, path, withXattrs: false, signal: never, scope: 0 }
    const keeps = (entry: { path: string }): boolean => !entry.path.endsWith('.not')
    for await (const page of walkTree({
      ...options,
      keeps,
      enter: () => ({ isKept: true, scope: 0 }),
    })) {
      found.push(...page.map((entry) => entry.path))
    }
    return found
  }

  it('leaves out what vanishes while it walks', async () => {
    write(['a/x', 'b/x', 'c/x'])
    const pages = walkTree<number>({
      ...{ kernel, root, path: '', withXattrs: false, signal: never, scope: 0 },
      keeps: () => true,
      enter: (entry) => {
        if (entry.path === 'a') rmSync(join(root, 'b'), { recursive: true })
        return { isKept: true, scope: 0 }
      },
    })
    const found: string[] = []
    for await (const page of pages) found.push(...page.map((entry) => entry.path))
    assert.deepEqual(found, ['a', 'a/x', 'b', 'c', 'c/x'])
  })

  it('ends with the reason of its signal', async () => {
    write(['a/x'])
    const reason = new Error('enough')
    const pages = walkTree<number>({
      ...{ kernel, root, path: '', withXattrs: false, signal: AbortSignal.abort(reason), scope: 0 },
      keeps: () => true,
      enter: () => ({ isKept: true, scope: 0 }),
    })
    await assert.rejects(pages.next(), reason)
  })
})
