import type { ParsedArgs } from './args.ts'
import { diskSpaceAt } from './collection/disk.ts'
import { readUsage } from './disk-usage.ts'
import { UsageError } from './errors.ts'
import { CACHE_KINDS, type CacheKind, type CacheRecord } from './gc-sources.ts'
import { readDurationMs, readSizeBytes } from './request/size.ts'
import type { CommandServices } from './services.ts'

/** What BuildKit calls types of records, where ours are the same. */
const FOREIGN_KINDS: ReadonlyMap<string, CacheKind> = new Map([
  ['regular', 'step'],
  ['exec.cachemount', 'cache-mount'],
  ['source.local', 'context'],
])

/** Records that a prune may take; without a list all of them. */
export interface PruneFilters {
  readonly usedBeforeMs: number | undefined
  readonly kinds: ReadonlySet<CacheKind>
  readonly ids: ReadonlySet<string>
}

/** `--filter` of `prune` (features row C102): until=, type=, id=. Several types or ids: any of them. Throws `UsageError`. */
export function readFilters(values: readonly string[]): PruneFilters {
  let usedBeforeMs: number | undefined
  const kinds = new Set<CacheKind>()
  const ids = new Set<string>()
  for (const text of values) {
    const [, key = '', value = ''] = /^(\w+)==?(.+)$/s.exec(text) ?? []
    if (key === 'until') {
      const before = Date.now() - readDurationMs(value, 'filter')
      usedBeforeMs = Math.min(usedBeforeMs ?? Infinity, before)
    } else if (key === 'type') {
      kinds.add(readKind(value))
    } else if (key === 'id') {
      ids.add(value)
    } else {
      throw new UsageError(`invalid filter "${text}" (known: until=DURATION, type=TYPE, id=ID)`)
    }
  }
  return { usedBeforeMs, kinds, ids }
}

function readKind(text: string): CacheKind {
  const kind = CACHE_KINDS.find((known) => known === text) ?? FOREIGN_KINDS.get(text)
  if (kind === undefined) {
    throw new UsageError(`unknown type "${text}" (known: ${CACHE_KINDS.join(', ')})`)
  }
  return kind
}

/** Whether the filters name a record, for `GcPolicy.takes`. */
export function namedBy({
  kinds,
  ids,
}: Pick<PruneFilters, 'kinds' | 'ids'>): (record: CacheRecord) => boolean {
  return ({ kind, name }) =>
    (kinds.size === 0 || kinds.has(kind)) && (ids.size === 0 || ids.has(name))
}

/** Bounds of the space that is left, as the command line has them. */
export interface PruneSpace {
  readonly maxUsedBytes: number | undefined
  readonly minFreeBytes: number | undefined
  readonly reservedBytes: number | undefined
}

/** `--max-used-space`, `--min-free-space`, `--reserved-space`, and `--keep-storage`, its older name. Throws `UsageError`. */
export function readSpace(args: ParsedArgs): PruneSpace {
  const bytes = (text: string | undefined, flag: string): number | undefined =>
    text === undefined ? undefined : readSizeBytes(text, flag)
  return {
    maxUsedBytes: bytes(args.text('max-used-space'), 'max-used-space'),
    minFreeBytes: bytes(args.text('min-free-space'), 'min-free-space'),
    reservedBytes:
      bytes(args.text('reserved-space'), 'reserved-space') ??
      bytes(args.text('keep-storage'), 'keep-storage'),
  }
}

/**
 * How much everything may take together afterwards; undefined: nothing is kept for its size. `open` opens a lease apart: what is
 * measured is held until its end, and what is held cannot be collected.
 */
export async function bytesToKeep(
  { maxUsedBytes, minFreeBytes, reservedBytes }: PruneSpace,
  open: () => Promise<CommandServices>,
  signal: AbortSignal,
): Promise<number | undefined> {
  const bounds = [
    ...(maxUsedBytes === undefined ? [] : [maxUsedBytes]),
    ...(minFreeBytes === undefined ? [] : [await bytesForFree(minFreeBytes, open, signal)]),
  ]
  return bounds.length === 0 ? reservedBytes : Math.max(Math.min(...bounds), reservedBytes ?? 0)
}

/** What we may take so that the disk has `minFreeBytes`. */
async function bytesForFree(
  minFreeBytes: number,
  open: () => Promise<CommandServices>,
  signal: AbortSignal,
): Promise<number> {
  await using services = await open()
  const { freeBytes } = await diskSpaceAt(services.store.root.path)
  const { totalBytes } = await readUsage(services, signal)
  return Math.max(0, totalBytes + freeBytes - minFreeBytes)
}
