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
  /** Layers of what it is only a way to: it holds none of them, and goes when what holds them would. */
  readonly leadsTo?: readonly DiffId[]
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
  /** Only records that it is true of; the others stay with all they hold. Undefined: any. */
  readonly takes?: (record: R) => boolean
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
  { takes = () => true, all, usedBeforeMs = Infinity, keepBytes }: GcPolicy<R>,
  found: { readonly inventory: Inventory; readonly holds: ReadonlySet<string> },
): R[] {
  const isPinned = (record: R): boolean => record.isPinned || !takes(record)
  const pinned = new Set(records.filter(isPinned).flatMap(({ layers }) => layers))
  const isShared = ({ trees, layers, leadsTo = [] }: R): boolean => {
    const concerned = [...layers, ...leadsTo]
    return (
      trees.length === 0 && concerned.length > 0 && concerned.every((layer) => pinned.has(layer))
    )
  }
  const candidates = records
    .filter((record) => !isPinned(record) && !found.holds.has(`record:${record.name}`))
    .filter((record) => all || !isShared(record))
    .filter((record) => record.lastUsedMs < usedBeforeMs)
    .sort((a, b) => a.lastUsedMs - b.lastUsedMs)
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
