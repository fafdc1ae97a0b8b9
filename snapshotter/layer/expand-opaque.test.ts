import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { DiffEntry } from '../snapshotter.ts'
import { dir, file, opaque, whiteout } from '../testing/entries.ts'
import { LayerTree } from '../testing/layer-tree.ts'
import { normalizeEntries } from '../testing/normalize.ts'
import { allOf, mergedLayers, pagesOf } from '../testing/pages.ts'
import type { LayerEntry } from './entry.ts'
import { expandOpaque } from './expand-opaque.ts'
import { parentOf } from './order.ts'

function summary(entries: readonly DiffEntry[]): string[] {
  return entries.map((entry) => `${entry.type} ${entry.path}`)
}

/** A whiteout for each child that a directory hides, whole lists at a time. */
function expandedAtOnce(changes: readonly LayerEntry[], lower: LayerTree): LayerEntry[] {
  const hiding = new Set(changes.filter(({ type }) => type === 'opaque').map(({ path }) => path))
  const present = new Set(changes.map(({ path }) => path))
  const expanded: LayerEntry[] = []
  for (const entry of changes) {
    if (entry.type === 'opaque') continue
    expanded.push(entry)
    if (entry.type !== 'dir' || !(hiding.has(entry.path) || hiding.has(parentOf(entry.path))))
      continue
    hiding.add(entry.path)
    for (const { path } of lower.children(entry.path)) {
      if (!present.has(path)) expanded.push(whiteout(path))
    }
  }
  return normalizeEntries(expanded)
}

const names = fc.constantFrom('a', 'b', 'c')
const paths = fc.array(names, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'))
/** As a directory has them: every parent is there, and a directory; some directories are opaque. */
const changesOf = (isMarked: boolean): fc.Arbitrary<LayerEntry[]> =>
  fc.array(fc.tuple(paths, fc.integer({ min: 0, max: 4 })), { maxLength: 12 }).map((items) => {
    const directories = new Set<string>()
    for (const [path] of items) {
      for (let at = parentOf(path); at !== ''; at = parentOf(at)) directories.add(at)
    }
    const leaves = items.flatMap(([path, kind]) =>
      directories.has(path) ? [] : [isMarked && kind === 0 ? whiteout(path) : file(path)],
    )
    const marks = items.flatMap(([path, kind]) =>
      isMarked && kind > 2 && directories.has(parentOf(path)) ? [opaque(parentOf(path))] : [],
    )
    const unique = new Map(leaves.map((entry) => [entry.path, entry]))
    return normalizeEntries([
      ...[...directories].map((path) => dir(path)),
      ...unique.values(),
      ...marks,
    ])
  })

describe('explicit whiteouts for opaque directories', () => {
  const lower = mergedLayers([
    [
      dir('a'),
      file('a/gone'),
      file('a/kept'),
      dir('a/sub'),
      file('a/sub/deep'),
      dir('b'),
      file('b/x'),
    ],
  ])

  it('name what is hidden, in directories inside too', async () => {
    const changes = [dir('a'), opaque('a'), file('a/kept'), dir('a/sub'), file('a/sub/new')]
    const expanded = await allOf(expandOpaque(pagesOf(changes), lower))
    assert.deepEqual(summary(expanded), [
      'dir a',
      'whiteout a/gone',
      'file a/kept',
      'dir a/sub',
      'whiteout a/sub/deep',
      'file a/sub/new',
    ])
  })

  it('are not needed where nothing is opaque or below', async () => {
    const changes = [dir('b'), whiteout('b/x'), dir('c'), opaque('c'), file('c/y')]
    assert.deepEqual(summary(await allOf(expandOpaque(pagesOf(changes), lower))), [
      'dir b',
      'whiteout b/x',
      'dir c',
      'file c/y',
    ])
  })

  it('are those of every directory by itself', async () => {
    await fc.assert(
      fc.asyncProperty(
        changesOf(true),
        fc.array(changesOf(false), { maxLength: 3 }),
        async (changes, layers) => {
          const expanded = expandOpaque(pagesOf(changes), mergedLayers(layers))
          assert.deepEqual(await allOf(expanded), expandedAtOnce(changes, LayerTree.of(layers)))
        },
      ),
      { numRuns: Number(process.env['TSBUILD_PROPERTY_RUNS'] ?? 200) },
    )
  })
})
