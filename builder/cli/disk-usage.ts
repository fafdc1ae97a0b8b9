import { digestHex } from '../../registry-client/oci/index.ts'
import { type CacheRecord, cacheSources } from './gc-sources.ts'
import { cacheMountSizes, workerForTrees } from './mount-sizes.ts'
import type { CommandServices } from './services.ts'

/** What takes space in a state root. */
export interface DiskUsage {
  readonly rows: readonly {
    readonly record: CacheRecord
    readonly sizeBytes: number
    readonly isShared: boolean
  }[]
  readonly totalBytes: number
  /** What `prune -a` could free. */
  readonly reclaimableBytes: number
}

/** What several records share counts once in the totals. */
export async function readUsage(
  services: CommandServices,
  signal: AbortSignal,
): Promise<DiskUsage> {
  await using worker = workerForTrees(services)
  const mountSizes = await cacheMountSizes(services, worker, signal)
  const records: CacheRecord[] = []
  for (const source of cacheSources(services, 'bases', mountSizes)) {
    for await (const record of source.records()) {
      records.push(record)
    }
  }
  const units = new Map<CacheRecord, Map<string, number>>()
  for (const record of records) {
    units.set(record, await unitsOf(record, services, signal))
  }
  const holders = new Map<string, number>()
  for (const unit of [...units.values()].flatMap((map) => [...map.keys()])) {
    holders.set(unit, (holders.get(unit) ?? 0) + 1)
  }
  const rows = records.map((record) => {
    const own = units.get(record) ?? new Map<string, number>()
    return {
      record,
      sizeBytes: record.sizeBytes + sum(own.values()),
      isShared: [...own.keys()].some((unit) => (holders.get(unit) ?? 0) > 1),
    }
  })
  const known = merged(units.values())
  const garbage = await garbageOf(known, services, signal)
  if (garbage !== undefined)
    rows.push({ record: garbage, sizeBytes: garbage.sizeBytes, isShared: false })
  const totalBytes = sum(rows.map(({ record }) => record.sizeBytes)) + sum(known.values())
  const pinned = merged([...units].filter(([record]) => record.isPinned).map(([, own]) => own))
  return { rows, totalBytes, reclaimableBytes: totalBytes - sum(pinned.values()) }
}

/** What no record keeps: of images that were removed, of builds that failed or are going on. */
async function garbageOf(
  known: ReadonlyMap<string, number>,
  services: CommandServices,
  signal: AbortSignal,
): Promise<CacheRecord | undefined> {
  const { layers, blobs } = services.store
  const all = { layers: await layers.diffIds(), blobs: await blobs.digests() }
  const units = [...(await unitsOf(all, services, signal))].filter(([unit]) => !known.has(unit))
  if (units.length === 0) return undefined
  return {
    kind: 'garbage',
    description: 'what nothing refers to; any prune removes it',
    name: 'garbage',
    ...{ lastUsedMs: Date.now(), isPinned: false, blobs: [], layers: [], trees: [] },
    sizeBytes: sum(units.map(([, sizeBytes]) => sizeBytes)),
    drop: async () => {},
  }
}

/** Blobs and layer directories that a record keeps, with their sizes. */
async function unitsOf(
  record: Pick<CacheRecord, 'blobs' | 'layers'>,
  { store }: CommandServices,
  signal: AbortSignal,
): Promise<Map<string, number>> {
  const units = new Map<string, number>()
  const digests = new Set(record.blobs)
  for (const diffId of record.layers) {
    const layer = await store.layers.get(diffId, signal)
    if (layer?.directory !== undefined) {
      units.set(`directory ${digestHex(diffId)}`, layer.uncompressedSizeBytes ?? 0)
    }
    for (const blob of layer?.blobs ?? []) {
      digests.add(blob.digest)
    }
  }
  for (const digest of digests) {
    units.set(`blob ${digestHex(digest)}`, (await store.blobs.size(digest, signal)) ?? 0)
  }
  return units
}

function merged(maps: Iterable<ReadonlyMap<string, number>>): Map<string, number> {
  return new Map([...maps].flatMap((map) => [...map]))
}

export function sum(numbers: Iterable<number>): number {
  return [...numbers].reduce((total, number) => total + number, 0)
}
