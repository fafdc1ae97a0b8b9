import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, type DiffId, digestHex } from '../../registry-client/oci/index.ts'
import { errnoOf } from './errors.ts'
import {
  type Inventory,
  type Marks,
  everything,
  mark,
  takeInventory,
  totalBytes,
} from './gc-marks.ts'
import { type GcPolicy, type GcRecord, type GcSource, chooseRecords } from './gc-policy.ts'
import { closeGate, isAlive, listLeases, readHolds } from './leases.ts'
import { type LayerRecord, layerRecords } from './layer-record.ts'
import { NamedLocks } from './locks.ts'
import type { RecordStore } from './records.ts'
import type { Store, StoreKernel } from './store.ts'
import { emptyTrash, listTrash, moveToTrash } from './trash.ts'

export interface GcOptions<R extends GcRecord = GcRecord> {
  readonly store: Pick<Store, 'root' | 'lease' | 'blobs' | 'durability'>
  readonly kernel: StoreKernel
  readonly sources: readonly GcSource<R>[]
  /** One after another, each for what those before it left. Without any no record is dropped; only what nothing refers to goes. */
  readonly policies: readonly GcPolicy<R>[]
  /** Removes trees that this process could not (a rootless worker's). */
  readonly removeStubborn?: (paths: readonly string[], signal: AbortSignal) => Promise<void>
}

export interface GcResult {
  readonly reclaimedBytes: number
  readonly droppedRecords: readonly string[]
  readonly removedBlobs: readonly Digest[]
  readonly removedLayers: readonly DiffId[]
}

/**
 * Removes what neither a record nor a living process needs. While it decides, no process can start or take a hold (the gate
 * is closed); that part only renames. Trees are removed after it, beside running builds. Features rows K22-K24.
 */
export async function collectGarbage<R extends GcRecord>(
  options: GcOptions<R>,
  signal: AbortSignal,
): Promise<GcResult> {
  const { store, kernel } = options
  const { reclaimed, unmovable, result } = await decide(options, signal)
  const stubborn = await emptyTrash(await listTrash(store.root), kernel, signal)
  stubborn.push(...unmovable)
  if (stubborn.length > 0) await options.removeStubborn?.(stubborn, signal)
  return { ...result, reclaimedBytes: reclaimed }
}

interface Decision {
  readonly reclaimed: number
  /** Trees that belong to a sub-id themselves: they cannot even be renamed. */
  readonly unmovable: readonly string[]
  readonly result: Omit<GcResult, 'reclaimedBytes'>
}

async function decide<R extends GcRecord>(
  options: GcOptions<R>,
  signal: AbortSignal,
): Promise<Decision> {
  const { store, kernel } = options
  await using _gate = await closeGate(store.root, kernel, signal)
  const layerStore = layerRecords(store)
  const inventory = await takeInventory(store, layerStore)
  // Holds before records: a process that ends in between has written its records by then.
  const holds = await holdsOfTheLiving(options)
  const records: R[] = []
  for (const source of options.sources) {
    for await (const record of source.records()) records.push(record)
  }
  const dropped = new Set<R>()
  let kept = records
  for (const policy of options.policies) {
    for (const record of chooseRecords(kept, policy, { inventory, holds })) dropped.add(record)
    kept = records.filter((record) => !dropped.has(record))
  }
  const marks = mark(kept, inventory, holds)
  const unmovable: string[] = []
  for (const record of dropped) {
    await record.drop()
    for (const tree of record.trees) {
      if (!(await moveIfOurs(store, tree))) unmovable.push(tree)
    }
  }
  await new NamedLocks(kernel, join(store.root.workDir, 'locks')).removeFree()
  const removedBlobs = await sweepBlobs(store, inventory, marks)
  const removedLayers = await sweepLayers(store, inventory, marks, layerStore)
  const before = totalBytes(records, inventory, everything(inventory))
  return {
    reclaimed: before - totalBytes(kept, inventory, marks),
    unmovable,
    result: {
      droppedRecords: [...dropped].map((record) => record.name),
      removedBlobs,
      removedLayers,
    },
  }
}

/** False when the directory is of another owner (features row X51). */
async function moveIfOurs(store: GcOptions['store'], tree: string): Promise<boolean> {
  try {
    await moveToTrash(store.root, tree)
    return true
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'EACCES' || errno === 'EPERM') return false
    throw error
  }
}

async function holdsOfTheLiving(
  options: Pick<GcOptions, 'store' | 'kernel'>,
): Promise<ReadonlySet<string>> {
  const holds = new Set<string>()
  for (const lease of await listLeases(options.store.root)) {
    if (!(await isAlive(options.kernel, lease))) continue
    for (const hold of await readHolds(lease)) holds.add(hold)
  }
  return holds
}

async function sweepBlobs(
  store: GcOptions['store'],
  inventory: Inventory,
  marks: Marks,
): Promise<Digest[]> {
  const removed: Digest[] = []
  const digests = await store.blobs.digests()
  for (const digest of digests) {
    const hex = digestHex(digest)
    if (!inventory.blobs.has(hex) || marks.blobs.has(hex)) continue
    await moveToTrash(store.root, store.blobs.path(digest))
    removed.push(digest)
  }
  // What it says of a blob that is gone is nothing to anybody.
  if (removed.length === digests.length) await rm(store.root.partsTable, { force: true })
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
