import type { Digest, DiffId } from '../../registry-client/oci/index.ts'
import { type Inventory, mark, totalBytes } from './gc-marks.ts'

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

export interface GcSource<R extends GcRecord = GcRecord> {
  /**
   * Asked while the gate is closed: it must not go through `BlobStore` or `LayerStore`, whose holds would wait for the
   * collector for ever. Small blobs are read at `BlobStore.path`.
   */
  records(): AsyncIterable<R>
}

export interface GcPolicy<R extends GcRecord = GcRecord> {
  /** A record as the policy is to see it: pinned when it is not to be taken. Without it as it is. */
  readonly view?: (record: R) => GcRecord
  /** Also records that have nothing but layers which an image shares, as `docker builder prune --all`. */
  readonly all: boolean
  /** Only records not used since. */
  readonly usedBeforeMs?: number
  /** Stop dropping once everything together takes at most this; least recently used first. */
  readonly keepBytes?: number
}

/** The records that `policy` lets go, least recently used first; of those in use none. */
export function chooseRecords<R extends GcRecord>(
  records: readonly R[],
  { view = (record) => record, all, usedBeforeMs = Infinity, keepBytes }: GcPolicy<R>,
  found: { readonly inventory: Inventory; readonly holds: ReadonlySet<string> },
): R[] {
  const seen = records.map((record) => ({ record, ...view(record) }))
  const pinned = new Set(seen.filter(({ isPinned }) => isPinned).flatMap(({ layers }) => layers))
  const isShared = ({ trees, layers }: GcRecord): boolean =>
    trees.length === 0 && layers.length > 0 && layers.every((layer) => pinned.has(layer))
  const candidates = seen
    .filter((one) => !one.isPinned && !found.holds.has(`record:${one.name}`))
    .filter((one) => all || !isShared(one))
    .filter((one) => one.lastUsedMs < usedBeforeMs)
    .sort((a, b) => a.lastUsedMs - b.lastUsedMs)
    .map(({ record }) => record)
  if (keepBytes === undefined) return candidates
  return dropUntil(records, candidates, keepBytes, found)
}

/**
 * What frees nothing (its layers are needed by others) must not be dropped in vain, but what it frees is known only
 * when the others are gone too: so records are dropped in order until the rest fits. The number is found by bisection.
 */
function dropUntil<R extends GcRecord>(
  records: readonly R[],
  candidates: readonly R[],
  keepBytes: number,
  found: { readonly inventory: Inventory; readonly holds: ReadonlySet<string> },
): R[] {
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
