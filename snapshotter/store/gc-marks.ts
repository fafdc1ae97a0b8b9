import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { digestHex } from '../../registry-client/oci/index.ts'
import { errnoOf } from './errors.ts'
import type { GcRecord } from './gc-policy.ts'
import type { LayerRecord } from './layer-record.ts'
import { listLayerDirectories } from './layers.ts'
import type { RecordStore } from './records.ts'
import type { Store } from './store.ts'

/** What is on disk, by hex. */
export interface Inventory {
  readonly blobs: ReadonlyMap<string, number>
  readonly layers: ReadonlyMap<string, LayerRecord>
  readonly directories: readonly string[]
  readonly contents: readonly string[]
}

/** What stays, by hex and by the names of directories. */
export interface Marks {
  readonly blobs: Set<string>
  readonly layers: Set<string>
  readonly directories: Set<string>
}

export async function takeInventory(
  store: Pick<Store, 'root' | 'blobs'>,
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

/** What `kept` records and the holds of living processes need: layers bring their blobs and directory. */
export function mark(
  kept: readonly GcRecord[],
  inventory: Inventory,
  holds: ReadonlySet<string>,
): Marks {
  const layers = namesHeld(holds, 'layer:')
  const blobs = namesHeld(holds, 'blob:')
  const directories = namesHeld(holds, 'directory:')
  for (const record of kept) {
    for (const digest of record.blobs) blobs.add(digestHex(digest))
    for (const diffId of record.layers) layers.add(digestHex(diffId))
  }
  for (const name of layers) {
    const layer = inventory.layers.get(name)
    for (const blob of layer?.blobs ?? []) blobs.add(digestHex(blob.digest))
    if (layer?.directory !== undefined) directories.add(layer.directory)
  }
  return { blobs, layers, directories }
}

function namesHeld(holds: ReadonlySet<string>, kind: string): Set<string> {
  const names = [...holds].filter((hold) => hold.startsWith(kind))
  return new Set(names.map((hold) => hold.slice(kind.length)))
}

export function everything(inventory: Inventory): Marks {
  return {
    blobs: new Set(inventory.blobs.keys()),
    layers: new Set(inventory.layers.keys()),
    directories: new Set(inventory.directories),
  }
}

/** Directories count with the size of their tar: measuring them would mean walking them. */
export function totalBytes(
  records: readonly GcRecord[],
  inventory: Inventory,
  marks: Marks,
): number {
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

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0
    throw error
  }
}
