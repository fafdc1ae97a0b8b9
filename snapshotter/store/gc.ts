import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, type DiffId, digestHex } from '../../registry-client/oci/index.ts'
import { errnoOf } from './errors.ts'
import {
  closeGate,
  emptyTrash,
  isAlive,
  listLeases,
  listTrash,
  moveToTrash,
  readHolds,
} from './leases.ts'
import { type LayerRecord, layerRecords, listLayerDirectories } from './layers.ts'
import { NamedLocks } from './locks.ts'
import type { RecordStore } from './records.ts'
import type { Store, StoreKernel } from './store.ts'

/** Something that keeps blobs and layers: an image (pinned), a cache record, a cache mount. */
export interface GcRecord {
  /** Held as `record:<name>` by a process that uses it; such a record is kept. */
  readonly name: string
  readonly lastUsedMs: number
  /** Images: collection never drops them. */
  readonly isPinned: boolean
  readonly blobs: readonly Digest[]
  readonly layers: readonly DiffId[]
  /** Directories of its own below the state root (a cache mount's); they go when it is dropped. */
  readonly trees: readonly string[]
  /** What `trees` take; blobs and layers are measured by the collector. */
  readonly sizeBytes: number
  /** Forgets it. Called while the gate is closed: only unlinks a record. */
  drop(): Promise<void>
}

export interface GcSource {
  records(): AsyncIterable<GcRecord>
}

export interface GcPolicy {
  /** Also records whose layers an image shares, as `docker builder prune --all`. */
  readonly all: boolean
  /** Only records not used since. */
  readonly usedBeforeMs?: number
  /** Stop dropping once everything together takes at most this; least recently used first. */
  readonly keepBytes?: number
}

export interface GcOptions {
  readonly store: Pick<Store, 'root' | 'lease' | 'blobs' | 'durability'>
  readonly kernel: StoreKernel
  readonly sources: readonly GcSource[]
  /** undefined: no record is dropped; only what nothing refers to goes. */
  readonly policy: GcPolicy | undefined
  /** Removes trees that this process could not (a rootless worker's). */
  readonly removeStubborn?: (paths: readonly string[], signal: AbortSignal) => Promise<void>
}

export interface GcResult {
  readonly reclaimedBytes: number
  readonly keptBytes: number
  readonly droppedRecords: readonly string[]
  readonly removedBlobs: readonly Digest[]
  readonly removedLayers: readonly DiffId[]
}

/**
 * Removes what neither a record nor a living process needs. While it decides, no process can start or take a hold (the gate
 * is closed); that part only renames. Trees are removed after it, beside running builds. Features rows K22-K24.
 */
export async function collectGarbage(options: GcOptions, signal: AbortSignal): Promise<GcResult> {
  const { store, kernel } = options
  const { reclaimed, result } = await decide(options, signal)
  const stubborn = await emptyTrash(await listTrash(store.root), kernel, signal)
  if (stubborn.length > 0) await options.removeStubborn?.(stubborn, signal)
  return { ...result, reclaimedBytes: reclaimed }
}

interface Inventory {
  readonly blobs: ReadonlyMap<string, number>
  readonly layers: ReadonlyMap<string, LayerRecord>
  readonly directories: readonly string[]
  readonly contents: readonly string[]
}

interface Marks {
  readonly blobs: Set<string>
  readonly layers: Set<string>
  readonly directories: Set<string>
}

async function decide(
  options: GcOptions,
  signal: AbortSignal,
): Promise<{ readonly reclaimed: number; readonly result: Omit<GcResult, 'reclaimedBytes'> }> {
  const { store, kernel, policy } = options
  await using _gate = await closeGate(store.root, kernel, signal)
  const layerStore = layerRecords(store)
  const inventory = await takeInventory(store, layerStore)
  // Holds before records: a process that ends in between has written its records by then.
  const holds = await holdsOfTheLiving(options)
  const records: GcRecord[] = []
  for (const source of options.sources) {
    for await (const record of source.records()) records.push(record)
  }
  const dropped = policy === undefined ? [] : chooseRecords(records, policy, { inventory, holds })
  const kept = records.filter((record) => !dropped.includes(record))
  const marks = mark(kept, inventory, holds)
  for (const record of dropped) {
    await record.drop()
    for (const tree of record.trees) await moveToTrash(store.root, tree)
  }
  await sweepLocks(store, kernel)
  const removedBlobs = await sweepBlobs(store, inventory, marks)
  const removedLayers = await sweepLayers(store, inventory, marks, layerStore)
  const before = totalBytes(records, inventory, everything(inventory))
  const keptBytes = totalBytes(kept, inventory, marks)
  return {
    reclaimed: before - keptBytes,
    result: {
      keptBytes,
      droppedRecords: dropped.map((record) => record.name),
      removedBlobs,
      removedLayers,
    },
  }
}

async function takeInventory(
  store: GcOptions['store'],
  layerStore: RecordStore<LayerRecord>,
): Promise<Inventory> {
  const blobs = new Map<string, number>()
  for (const digest of await store.blobs.digests()) {
    blobs.set(digestHex(digest), await sizeOf(store.blobs.path(digest)))
  }
  const layers = new Map<string, LayerRecord>()
  for (const name of await layerStore.names()) {
    const record = await layerStore.get(name)
    if (record !== undefined) layers.set(name, record)
  }
  return {
    blobs,
    layers,
    directories: await listLayerDirectories(store.root),
    contents: await readdir(join(store.root.layersDir, 'contents')),
  }
}

async function holdsOfTheLiving(options: GcOptions): Promise<ReadonlySet<string>> {
  const holds = new Set<string>()
  for (const lease of await listLeases(options.store.root)) {
    if (!(await isAlive(options.kernel, lease))) continue
    for (const hold of await readHolds(lease)) holds.add(hold)
  }
  return holds
}

/** Least recently used first; in use never. */
function chooseRecords(
  records: readonly GcRecord[],
  policy: GcPolicy,
  found: { readonly inventory: Inventory; readonly holds: ReadonlySet<string> },
): GcRecord[] {
  const pinned = new Set(
    records.filter((record) => record.isPinned).flatMap((record) => record.layers),
  )
  const isShared = (record: GcRecord): boolean =>
    record.layers.length > 0 && record.layers.every((layer) => pinned.has(layer))
  const candidates = records
    .filter((record) => !record.isPinned && !found.holds.has(`record:${record.name}`))
    .filter((record) => policy.all || !isShared(record))
    .filter(
      (record) => policy.usedBeforeMs === undefined || record.lastUsedMs < policy.usedBeforeMs,
    )
    .sort((a, b) => a.lastUsedMs - b.lastUsedMs)
  const { keepBytes } = policy
  if (keepBytes === undefined) return candidates
  return dropUntil(records, candidates, keepBytes, found)
}

/**
 * What frees nothing (its layers are needed by others) must not be dropped in vain, but what it frees is known only
 * when the others are gone too: so records are dropped in order until the rest fits. The number is found by bisection.
 */
function dropUntil(
  records: readonly GcRecord[],
  candidates: readonly GcRecord[],
  keepBytes: number,
  found: { readonly inventory: Inventory; readonly holds: ReadonlySet<string> },
): GcRecord[] {
  const fits = (count: number): boolean => {
    const dropped = new Set(candidates.slice(0, count))
    const kept = records.filter((record) => !dropped.has(record))
    return totalBytes(kept, found.inventory, mark(kept, found.inventory, found.holds)) <= keepBytes
  }
  let low = 0
  let high = candidates.length
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (fits(middle)) high = middle
    else low = middle + 1
  }
  return candidates.slice(0, low)
}

function mark(kept: readonly GcRecord[], inventory: Inventory, holds: ReadonlySet<string>): Marks {
  const marks: Marks = { blobs: new Set(), layers: new Set(), directories: new Set() }
  for (const hold of holds) {
    const [kind, name] = splitHold(hold)
    if (kind === 'blob') marks.blobs.add(name)
    if (kind === 'layer') marks.layers.add(name)
    if (kind === 'directory') marks.directories.add(name)
  }
  for (const record of kept) {
    for (const digest of record.blobs) marks.blobs.add(digestHex(digest))
    for (const diffId of record.layers) marks.layers.add(digestHex(diffId))
  }
  for (const name of marks.layers) {
    const layer = inventory.layers.get(name)
    for (const blob of layer?.blobs ?? []) marks.blobs.add(digestHex(blob.digest))
    if (layer?.directory !== undefined) marks.directories.add(layer.directory)
  }
  return marks
}

function splitHold(hold: string): readonly [kind: string, name: string] {
  const colon = hold.indexOf(':')
  return [hold.slice(0, colon), hold.slice(colon + 1)]
}

function everything(inventory: Inventory): Marks {
  return {
    blobs: new Set(inventory.blobs.keys()),
    layers: new Set(inventory.layers.keys()),
    directories: new Set(inventory.directories),
  }
}

/** Directories count with the size of their tar: measuring them would mean walking them. */
function totalBytes(records: readonly GcRecord[], inventory: Inventory, marks: Marks): number {
  let total = 0
  for (const record of records) total += record.sizeBytes
  for (const name of marks.blobs) total += inventory.blobs.get(name) ?? 0
  for (const layer of inventory.layers.values()) {
    if (layer.directory !== undefined && marks.directories.has(layer.directory)) {
      total += layer.uncompressedSizeBytes ?? 0
    }
  }
  return total
}

async function sweepBlobs(
  store: GcOptions['store'],
  inventory: Inventory,
  marks: Marks,
): Promise<Digest[]> {
  const removed: Digest[] = []
  for (const digest of await store.blobs.digests()) {
    const hex = digestHex(digest)
    if (!inventory.blobs.has(hex) || marks.blobs.has(hex)) continue
    await moveToTrash(store.root, store.blobs.path(digest))
    removed.push(digest)
  }
  const unverified = join(store.root.path, 'blobs/unverified')
  for (const name of await readdir(unverified)) {
    if (!marks.blobs.has(name)) await moveToTrash(store.root, join(unverified, name))
  }
  return removed
}

async function sweepLayers(
  store: GcOptions['store'],
  inventory: Inventory,
  marks: Marks,
  layerStore: RecordStore<LayerRecord>,
): Promise<DiffId[]> {
  const removed: DiffId[] = []
  // The record first: without it the rest is garbage to everybody, whenever this is killed.
  for (const [name, layer] of inventory.layers) {
    if (marks.layers.has(name)) continue
    await layerStore.remove(name)
    removed.push(layer.diffId)
  }
  for (const name of inventory.contents) {
    if (!marks.layers.has(name))
      await moveToTrash(store.root, join(store.root.layersDir, 'contents', name))
  }
  for (const id of inventory.directories) {
    if (!marks.directories.has(id))
      await moveToTrash(store.root, join(store.root.layersDir, 'directories', id))
  }
  return removed
}

/** Lock files keep their names when the holder is killed. Taking and giving back the lock removes one. */
async function sweepLocks(store: GcOptions['store'], kernel: StoreKernel): Promise<void> {
  const locks = new NamedLocks(kernel, join(store.root.workDir, 'locks'))
  for (const name of await readdir(join(store.root.workDir, 'locks'))) {
    await using _lock = await locks.tryAcquire(name)
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0
    throw error
  }
}
