import assert from 'node:assert/strict'
import { appendFile, rm, truncate, stat } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import type { DiffEntry } from '../snapshotter.ts'
import { dir, file, hardlink, opaque, symlink, whiteout } from '../testing/entries.ts'
import { LayerTree } from '../testing/layer-tree.ts'
import { normalizeEntries } from '../testing/normalize.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { writeContents } from '../testing/write-contents.ts'
import { ContentsPages } from './contents-pages.ts'
import type { LayerEntry } from './entry.ts'
import { LayerIndex } from './layer-index.ts'
import { MergedLayers, type StackLayer } from './merged-layers.ts'
import { parentOf } from './order.ts'
import { StackView } from './stack-view.ts'

/** Pages of a few entries, so that a search has something to do; counts how often it asked. */
function smallPages(
  entries: readonly DiffEntry[],
  size: number,
  hasLinks = true,
): StackLayer<DiffEntry> & { asked: number } {
  return {
    asked: 0,
    hasLinks,
    count: Math.ceil(entries.length / size),
    async page(index) {
      this.asked += 1
      return entries.slice(index * size, (index + 1) * size)
    },
  }
}

const names = fc.constantFrom('a', 'b', 'c', 'a-', '\udcff')
const paths = fc.array(names, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
const entry: fc.Arbitrary<LayerEntry> = fc.oneof(
  { weight: 3, arbitrary: paths.map((path) => dir(path)) },
  { weight: 3, arbitrary: fc.tuple(paths, fc.string()).map(([path, text]) => file(path, text)) },
  paths.map((path) => symlink(path, 'a')),
  paths.map((path) => whiteout(path)),
  fc.oneof(paths, fc.constant('')).map((path) => opaque(path)),
  fc.constant({ ...dir('', { mode: 0o700 }) }),
)
/** No layer has a file and something below it, and links name files of their own layer: neither can be made. */
const layer = fc.array(entry, { maxLength: 12 }).map((entries) => {
  const sorted = normalizeEntries(entries)
  const files = sorted.filter(({ type }) => type === 'file')
  const links = files.map(({ path }) => hardlink(`${path}-link`, path))
  const blocked = new Set(
    sorted.filter(({ type }) => type === 'file' || type === 'symlink').map(({ path }) => path),
  )
  const isPossible = ({ path }: LayerEntry): boolean =>
    path.split('/').every((_, length, parts) => !blocked.has(parts.slice(0, length).join('/')))
  return normalizeEntries([...sorted, ...links].filter(isPossible))
})

/** Checks stacks of layers, each in pages of a few entries. */
async function checkStacks(
  check: (
    layers: readonly LayerEntry[][],
    pages: readonly StackLayer<DiffEntry>[],
  ) => Promise<void>,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(
      fc.array(layer, { maxLength: 5 }),
      fc.integer({ min: 1, max: 4 }),
      async (layers, pageSize) => {
        const pages = layers.map((entries) => smallPages(entries, pageSize))
        await check(layers, pages)
      },
    ),
    { numRuns: Number(process.env['TSBUILD_PROPERTY_RUNS'] ?? 100) },
  )
}

describe('the view of a stack', () => {
  it('finds at every path what the merged tree has there', async () => {
    const all = [...new Set(fc.sample(paths, 500))].flatMap((path) => [path, `${path}-link`])
    await checkStacks(async (layers, pages) => {
      const tree = LayerTree.of<DiffEntry>(layers)
      const view = new StackView(pages.map((each) => new LayerIndex(each)))
      for (const path of ['', ...all]) {
        const wanted = tree.lookup(path)
        const found = await view.lookup(path)
        assert.deepEqual(
          found && { entry: found.entry, layer: found.layer, source: found.source },
          wanted && { entry: wanted.entry, layer: wanted.layer, source: wanted.source },
          JSON.stringify(path),
        )
      }
    })
  })

  it('walks through what the merged tree has below every path', async () => {
    const all = [...new Set(fc.sample(paths, 30)), 'a', 'b', 'a/a']
    await checkStacks(async (layers, pages) => {
      const tree = LayerTree.of<DiffEntry>(layers)
      const merged = new MergedLayers(pages)
      for (const path of ['', ...all]) {
        const nodes: unknown[] = []
        for await (const page of merged.walk(path)) {
          nodes.push(...page.map(({ isLinked: _, ...node }) => node))
        }
        const wanted = [...tree.walk(path)].filter((node) => node.path !== path)
        assert.deepEqual(
          nodes,
          wanted.map(({ entry, layer: index, path: at, source }) => {
            return { path: at, entry, layer: index, source }
          }),
          JSON.stringify(path),
        )
      }
    })
  })

  it('gives as children what the walk has right below a path', async () => {
    const all = ['', ...new Set(fc.sample(paths, 30)), 'a', 'b', 'a/a']
    await checkStacks(async (_layers, pages) => {
      const merged = new MergedLayers(pages)
      for (const path of all) {
        const wanted: unknown[] = []
        for await (const page of merged.walk(path)) {
          wanted.push(...page.filter((node) => parentOf(node.path) === path))
        }
        const children: unknown[] = []
        for await (const page of merged.children(path)) children.push(...page)
        assert.deepEqual(children, wanted, JSON.stringify(path))
      }
    })
  })

  it('reads of what is below children only the ends', async () => {
    const names = Array.from({ length: 1000 }, (_, i) => file(`a/${i}`))
    const entries = [dir('a'), ...names, dir('b'), file('b/f'), file('c')]
    const pages = smallPages(normalizeEntries(entries), 10, false)
    const found: string[] = []
    for await (const page of new MergedLayers([pages]).children('')) {
      found.push(...page.map(({ path }) => path))
    }
    assert.deepEqual(found, ['a', 'b', 'c'])
    assert.ok(pages.asked < 30, `${pages.asked} pages`)
  })

  it('knows the names of one file, whichever comes first', async () => {
    const lower = [file('a'), hardlink('b', 'c'), hardlink('b2', 'b'), file('c')]
    const upper = [hardlink('d', 'd2'), file('d2')]
    const merged = new MergedLayers([smallPages(lower, 1), smallPages(upper, 1)])
    const nodes: unknown[] = []
    for await (const page of merged.walk('')) {
      nodes.push(
        ...page.map(({ path, layer: index, source, isLinked }) => [path, index, source, isLinked]),
      )
    }
    assert.deepEqual(nodes, [
      ['a', 0, 'a', false],
      ['b', 0, 'c', true],
      ['b2', 0, 'c', true],
      ['c', 0, 'c', true],
      ['d', 1, 'd2', true],
      ['d2', 1, 'd2', true],
    ])
  })

  it('reads of a large layer only what a search by halves takes', async () => {
    const entries = Array.from({ length: 10_000 }, (_, i) =>
      file(`d/${String(i).padStart(5, '0')}`),
    )
    const pages = smallPages(normalizeEntries([dir('d'), ...entries]), 10)
    const view = new StackView([new LayerIndex(pages)])
    assert.equal((await view.lookup('d/07321'))?.entry.type, 'file')
    assert.equal(await view.lookup('d/07321x'), undefined)
    assert.ok(pages.asked < 60, `${pages.asked} pages`)
  })
})

describe('pages of a table of contents', () => {
  const entries = normalizeEntries([
    dir('d'),
    ...Array.from({ length: 2000 }, (_, i) => file(`d/${i}`)),
  ])

  let directory: Awaited<ReturnType<typeof temporaryDirectory>>
  beforeEach(async () => {
    directory = await temporaryDirectory()
  })
  afterEach(async () => {
    await directory[Symbol.asyncDispose]()
  })

  async function writeTable(all: readonly LayerEntry[]): Promise<string> {
    const path = join(directory.path, 'contents')
    await writeContents(path, all)
    return path
  }

  it('hold together what was written', async () => {
    const pages = await ContentsPages.open(await writeTable(entries))
    const read: LayerEntry[] = []
    for (let index = 0; index < pages.count; index += 1) read.push(...(await pages.page(index)))
    assert.deepEqual(read, entries)
    assert.ok(pages.count > 3)
    assert.equal(pages.hasLinks, false)
  })

  it('tell whether there are hardlinks, wherever they lie', async () => {
    // About 40 bytes an entry: more than one of the parts that are read at a time.
    for (const length of [0, 11_000, 11_001, 11_002, 11_003]) {
      const names = Array.from({ length }, (_, i) => symlink(`${i}["h",`, 'x'.repeat(50)))
      const table = await writeTable([...names, hardlink('l', 'f')])
      assert.equal((await ContentsPages.open(table)).hasLinks, true)
      await rm(table)
      const without = await writeTable(names)
      assert.equal((await ContentsPages.open(without)).hasLinks, false)
      await rm(without)
    }
  })

  it('find nothing in a layer without entries', async () => {
    const index = new LayerIndex(await ContentsPages.open(await writeTable([])))
    assert.equal((await index.find('a')).entry, undefined)
  })

  it('refuse a table that was cut short or goes on after its end', async () => {
    const path = await writeTable(entries)
    await appendFile(path, '[]\n')
    await assert.rejects(ContentsPages.open(path), { code: 'contents-damaged' })
    await truncate(path, (await stat(path)).size - 10)
    await assert.rejects(ContentsPages.open(path), { code: 'contents-damaged' })
    await truncate(path, 3)
    await assert.rejects(ContentsPages.open(path), { code: 'contents-damaged' })
  })
})
