import { UsageError } from '../errors.ts'
import { readCsvPairs } from '../request/csv.ts'
import { readSizeBytes } from '../request/size.ts'

/** How large a disk is, and how much of it anybody may still write. */
export interface DiskSpace {
  readonly totalBytes: number
  readonly freeBytes: number
}

/** A size, or a part of the disk. */
type Amount = { readonly bytes: number } | { readonly percent: number; readonly bytesMax?: number }

/** When and down to what builds collect (features row K22); images with names count for none of them. */
export interface CollectionSettings {
  /** What the cache may take. */
  readonly maxUsed: Amount
  /** What the disk shall have left. */
  readonly minFree: Amount
  /** What the cache may take whatever the other two say. */
  readonly reserved: Amount
}

/** The same on a certain disk. */
export interface CollectionLimits {
  readonly maxUsedBytes: number
  readonly minFreeBytes: number
  readonly reservedBytes: number
}

/** BuildKit's. */
export const DEFAULT_SETTINGS: CollectionSettings = {
  maxUsed: { percent: 80, bytesMax: 100e9 },
  minFree: { percent: 20 },
  reserved: { percent: 10, bytesMax: 10e9 },
}

const NAMES: ReadonlyMap<string, keyof CollectionSettings> = new Map([
  ['max-used-space', 'maxUsed'],
  ['min-free-space', 'minFree'],
  ['reserved-space', 'reserved'],
])

/**
 * Reads `TSBUILD_GC`: `off` (undefined is returned), or some of the limits as `max-used-space=50g,min-free-space=10%`.
 * Limits that it does not name are the defaults. Throws `UsageError`.
 */
export function readCollectionSettings(
  env: Readonly<Record<string, string | undefined>>,
): CollectionSettings | undefined {
  const text = env['TSBUILD_GC']
  if (text === undefined || text === '') return DEFAULT_SETTINGS
  if (text === 'off') return undefined
  let settings = DEFAULT_SETTINGS
  for (const { key, value } of readCsvPairs(text)) {
    const name = NAMES.get(key)
    if (name === undefined || value === undefined) {
      throw new UsageError(
        `invalid TSBUILD_GC "${text}" (known: off, ${[...NAMES.keys()].map((one) => `${one}=SIZE`).join(', ')})`,
      )
    }
    settings = { ...settings, [name]: readAmount(key, value) }
  }
  return settings
}

function readAmount(key: string, text: string): Amount {
  const [, percent] = /^(\d{1,3})%$/.exec(text) ?? []
  if (percent !== undefined && Number(percent) <= 100) return { percent: Number(percent) }
  try {
    return { bytes: readSizeBytes(text, key) }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    throw new UsageError(
      `invalid TSBUILD_GC: ${key}=${text} is no size (write it as 50g, or 10% of the disk)`,
    )
  }
}

export function limitsOn(
  { maxUsed, minFree, reserved }: CollectionSettings,
  disk: Pick<DiskSpace, 'totalBytes'>,
): CollectionLimits {
  return {
    maxUsedBytes: bytesOf(maxUsed, disk),
    minFreeBytes: bytesOf(minFree, disk),
    reservedBytes: bytesOf(reserved, disk),
  }
}

function bytesOf(amount: Amount, { totalBytes }: Pick<DiskSpace, 'totalBytes'>): number {
  if ('bytes' in amount) return amount.bytes
  return Math.min(Math.floor((totalBytes * amount.percent) / 100), amount.bytesMax ?? Infinity)
}
