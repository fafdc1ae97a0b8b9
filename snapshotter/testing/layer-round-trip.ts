import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expandOpaque } from '../layer/expand-opaque.ts'
import type { LayerEntry } from '../layer/entry.ts'
import { EntryMaker } from '../layer/scanned.ts'
import { LayerTree } from './layer-tree.ts'
import { isWhiteoutDevice } from '../layer/whiteout.ts'
import type { Kernel, PackEntry, ReadLayerResult } from '../native/kernel-types.ts'
import type { CommittedSnapshot, DiffEntry, LayerDirectory, Snapshotter } from '../snapshotter.ts'
import { allOf, mergedLayers } from './pages.ts'
import { type TreeChange, applyChanges } from './random-changes.ts'
import { temporaryDirectory } from './temporary-directory.ts'
import { mountRoot } from './test-mounts.ts'

const never = new AbortController().signal
/** One for each layer in turn. */
const COMPRESSIONS = ['gzip', 'zstd', 'uncompressed'] as const

/** Everything that two equal trees share, by path; hardlinks as the files that they are. */
type TreeImage = readonly unknown[]

interface Step {
  readonly committed: CommittedSnapshot
  /** The root as the step left it. */
  readonly seen: TreeImage
  readonly blob: string
  readonly entries: readonly LayerEntry[]
  /** What the blob was packed of. */
  readonly packed: readonly PackEntry[]
}

/**
 * Makes layers of `steps` (random changes, each over the ones before), packs them, and checks that every way to get the tree back
 * gives the tree that the last step saw: unpacking on one directory, unpacked layers mounted, the layers as they
 * were committed, and the tables of contents alone. A layer that is made of the entries is the one that is unpacked.
 */
export async function checkRoundTrip(
  steps: readonly (readonly TreeChange[])[],
  parts: { readonly kernel: Kernel; readonly make: (workDir: string) => Snapshotter },
): Promise<void> {
  const { kernel } = parts
  await using place = await temporaryDirectory()
  const workDir = join(place.path, 'work')
  await mkdir(workDir)
  const snapshotter = parts.make(workDir)
  const done: Step[] = []
  for (const changes of steps) {
    done.push(
      await runStep(changes, done, {
        kernel,
        snapshotter,
        directory: join(place.path, `layer-${done.length}`),
      }),
    )
  }
  const expected = done.at(-1)?.seen ?? []

  const flat = join(place.path, 'flat')
  await mkdir(flat)
  for (const step of done)
    assert.deepEqual(
      (await unpack(kernel, step.blob, flat, 'apply')).entries.length,
      step.entries.length,
    )
  assert.deepEqual(await imageOf(kernel, flat), expected, 'unpacked on one directory')

  assert.deepEqual(
    await merged(
      parts,
      snapshotter,
      done.map(({ committed }) => committed.directory),
    ),
    expected,
    'committed layers',
  )

  const unpacked: LayerDirectory[] = []
  for (const [index, step] of done.entries()) {
    const directory = { path: join(place.path, `unpacked-${index}`) }
    await mkdir(join(directory.path, 'fs'), { recursive: true })
    await unpack(kernel, step.blob, join(directory.path, 'fs'), 'overlay')
    unpacked.push(directory)
    const made = join(place.path, `made-${index}`)
    await makeLayer(kernel, step.packed, made)
    assert.deepEqual(
      await exactImageOf(kernel, made),
      await exactImageOf(kernel, join(directory.path, 'fs')),
      'made and unpacked',
    )
  }
  assert.deepEqual(await merged(parts, snapshotter, unpacked), expected, 'unpacked layers')

  const tree = LayerTree.of(done.map(({ entries }) => entries))
  const described = [...tree.walk('')]
    .slice(1)
    .map(({ entry }) => comparable(entry, 'digest' in entry ? entry.digest : undefined))
  assert.deepEqual(described, expected, 'tables of contents')
}

async function runStep(
  changes: readonly TreeChange[],
  below: readonly Step[],
  parts: { readonly kernel: Kernel; readonly snapshotter: Snapshotter; readonly directory: string },
): Promise<Step> {
  const { kernel, snapshotter, directory } = parts
  await using snapshot = await snapshotter.prepare(
    below.map(({ committed }) => committed.directory),
    never,
  )
  let seen: TreeImage = []
  {
    await using mounted = await mountRoot(snapshot.root)
    await applyChanges(mounted.dir, changes, kernel)
    seen = await imageOf(kernel, mounted.dir)
  }
  const committed = await snapshot.commit(never, { path: directory })
  const lower = mergedLayers(below.map(({ entries }) => entries))
  const blob = `${directory}.tar`
  await using packer = kernel.createPacker({
    output: blob,
    compression: COMPRESSIONS[below.length % COMPRESSIONS.length] ?? 'gzip',
    level: undefined,
    signal: never,
  })
  await using written = committed.changes
  const packed = await allOf(expandOpaque(written.pages(), lower))
  await packer.add(packed)
  const { entries } = await packer.finish()
  return { committed, seen, blob, entries, packed }
}

async function makeLayer(
  kernel: Kernel,
  entries: readonly PackEntry[],
  root: string,
): Promise<void> {
  await mkdir(root)
  await using maker = kernel.createMaker({
    root,
    whiteouts: 'overlay',
    userXattr: false,
    ownership: 'owners',
    signal: never,
  })
  // Two calls: a hardlink may name a file of an earlier one.
  const half = Math.floor(entries.length / 2)
  await maker.add(entries.slice(0, half))
  await maker.add(entries.slice(half))
  await maker.finish()
}

/** All that a scan tells of a tree, but for what tells one copy from another; names of one file by its first. */
async function exactImageOf(kernel: Kernel, root: string): Promise<TreeImage> {
  const scanned = await kernel.scanTree({ root, withXattrs: true, signal: never })
  const files = scanned.filter(({ type }) => type === 'file').map(({ path }) => path)
  const digests = await kernel.hashFiles(root, files, never)
  const firstNames = new Map<number, string>()
  return scanned.map(({ ino, dev: _dev, ctimeSec: _sec, ctimeNsec: _nsec, ...rest }) => {
    const first = firstNames.get(ino) ?? rest.path
    firstNames.set(ino, first)
    const sizeBytes = rest.type === 'dir' ? undefined : rest.sizeBytes
    // When a whiteout was made means nothing.
    const times = isWhiteoutDevice(rest) ? { mtimeSec: undefined, mtimeNsec: undefined } : {}
    return { ...rest, ...times, sizeBytes, first, digest: digests[files.indexOf(rest.path)] }
  })
}

async function unpack(
  kernel: Kernel,
  blob: string,
  extractTo: string,
  whiteouts: 'overlay' | 'apply',
): Promise<ReadLayerResult> {
  return kernel.readLayer({
    blob,
    compression: 'auto',
    extractTo,
    entries: 'list',
    whiteouts,
    userXattr: false,
    ownership: 'owners',
    limits: { uncompressedSizeBytesMax: 1 << 30, entryCountMax: 10_000 },
    signal: never,
  })
}

async function merged(
  parts: { readonly kernel: Kernel },
  snapshotter: Snapshotter,
  layers: readonly LayerDirectory[],
): Promise<TreeImage> {
  await using snapshot = await snapshotter.prepare(layers, never)
  await using mounted = await mountRoot(snapshot.root)
  return await imageOf(parts.kernel, mounted.dir)
}

async function imageOf(kernel: Kernel, root: string): Promise<TreeImage> {
  const scanned = await kernel.scanTree({ root, withXattrs: true, signal: never })
  const files = scanned.filter(({ type }) => type === 'file').map(({ path }) => path)
  const digests = await kernel.hashFiles(root, files, never)
  const byPath = new Map(files.map((path, index) => [path, digests[index]]))
  // One maker an entry: which names share an inode depends on how the tree was made.
  return scanned.map((item) => {
    const entry = new EntryMaker().make(item)
    return entry === undefined ? undefined : comparable(entry, byPath.get(item.path))
  })
}

/** Without the time of a directory: one that changed in nothing else is no change (drop-unchanged.ts). */
function comparable(entry: DiffEntry, digest: unknown): unknown {
  const { xattrs, ...all } = { xattrs: undefined, ...entry }
  const rest = all.type === 'dir' ? { ...all, mtimeSec: undefined } : all
  const shown = xattrs?.map(({ name, value }) => `${name}=${Buffer.from(value).toString('hex')}`)
  return { ...rest, digest, xattrs: shown }
}
