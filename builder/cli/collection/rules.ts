import type { DiskUsage } from '../disk-usage.ts'
import type { CacheKind, CacheRecord } from '../gc-sources.ts'
import type { CollectionLimits, DiskSpace } from './limits.ts'

const HOUR_MS = 60 * 60 * 1000
const DAY_MS = 24 * HOUR_MS

/** What is made or fetched again most easily. */
const REPRODUCIBLE: ReadonlySet<CacheKind> = new Set(['context', 'download', 'cache-mount'])
const REPRODUCIBLE_BYTES_MAX = 512e6

/** One pass of a collection: while everything takes more than `keepBytes`, the least recently used of these goes. */
export interface CollectionRule {
  /** Empty: all of them. */
  readonly kinds: ReadonlySet<CacheKind>
  readonly usedBeforeMs: number | undefined
  /** Also what an image with a name has too, which frees little. */
  readonly all: boolean
  readonly keepBytes: number
}

/**
 * BuildKit's default policy (features row K22): what is easily reproducible and not used for two days, while the cache takes
 * more than 512 MB; then, while it is over its limits, what was not used for 60 days, what no image shares, and the
 * rest. Images with names are no cache: what they take is kept, and counts for no limit.
 */
export function collectionRules(
  { totalBytes, reclaimableBytes }: Pick<DiskUsage, 'totalBytes' | 'reclaimableBytes'>,
  { freeBytes }: Pick<DiskSpace, 'freeBytes'>,
  { maxUsedBytes, minFreeBytes, reservedBytes }: CollectionLimits,
  nowMs: number,
): CollectionRule[] {
  const ofImagesBytes = totalBytes - reclaimableBytes
  // What is collected becomes free: so the sum of both tells when the disk will have enough.
  const forFreeBytes = reclaimableBytes + freeBytes - minFreeBytes
  const cacheBytes = Math.max(Math.min(maxUsedBytes, forFreeBytes), reservedBytes)
  const keepBytes = ofImagesBytes + cacheBytes
  const every = { kinds: new Set<CacheKind>(), all: false, usedBeforeMs: undefined, keepBytes }
  return [
    {
      kinds: REPRODUCIBLE,
      usedBeforeMs: nowMs - 48 * HOUR_MS,
      all: false,
      keepBytes: ofImagesBytes + REPRODUCIBLE_BYTES_MAX,
    },
    { ...every, usedBeforeMs: nowMs - 60 * DAY_MS },
    every,
    { ...every, all: true },
  ]
}

/** Whether the rule may find something: what is shared only the collector can tell. */
export function mayTake(
  { kinds, usedBeforeMs = Infinity }: CollectionRule,
  { rows }: { readonly rows: readonly { readonly record: CacheRecord }[] },
): boolean {
  return rows.some(
    ({ record: { kind, isPinned, lastUsedMs } }) =>
      !isPinned && (kinds.size === 0 || kinds.has(kind)) && lastUsedMs < usedBeforeMs,
  )
}
