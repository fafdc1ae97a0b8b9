import { type DiffId, parseDiffId, parseDigest } from '../../../registry-client/oci/index.ts'
import { type CacheKey, cacheKeyOf, KEY_VERSION, type KeyInputs } from '../../solver/cache-key.ts'

/** Media type of the config blob of a cache manifest: an OCI artifact of our own (docs/cache.md, "Format"). */
export const CACHE_CONFIG = 'application/vnd.tsbuild.cache.config.v1+json'

/** Annotation of an image's manifest that holds the same document (`type=inline`). */
export const INLINE_ANNOTATION = 'dev.tsbuild.cache.v1'

/** More steps than any build has; a document with more is hostile. */
const RECORDS_MAX = 100_000

/** A step as a remote cache tells of it. Its layer may be in the cache, or (`mode=min`) only be named. */
export interface CachedStep {
  readonly key: CacheKey
  readonly diffId: DiffId
  /** RFC 3339. */
  readonly createdAt: string
  /** Of COPY alone: with them an alias leads to the step. What a RUN saw (its ARGs, say) is nobody else's business. */
  readonly inputs: KeyInputs | undefined
}

export interface CachedAlias {
  readonly alias: CacheKey
  readonly key: CacheKey
}

/** What a cache says besides the layers of its manifest. */
export interface CacheDocument {
  /** Of the manifest's layers, in their order. */
  readonly diffIds: readonly DiffId[]
  readonly steps: readonly CachedStep[]
  readonly aliases: readonly CachedAlias[]
}

/** Equal documents are equal bytes, so a cache that did not change is not pushed again. */
export function encodeCacheDocument({ diffIds, steps, aliases }: CacheDocument): string {
  return JSON.stringify({
    keyVersion: KEY_VERSION,
    diffIds,
    steps: steps.toSorted((a, b) => compare(a.key, b.key)),
    aliases: aliases.toSorted((a, b) => compare(a.alias, b.alias)),
  })
}

/** Reads a document of whoever may write to the registry. Throws an Error that says what is wrong with it. */
export function decodeCacheDocument(text: string): CacheDocument {
  const json: unknown = JSON.parse(text)
  if (!isObject(json)) {
    throw new Error('it is no object')
  }
  if (json['keyVersion'] !== KEY_VERSION) {
    throw new Error('it was written by a version of tsbuild with other cache keys')
  }
  return {
    diffIds: readList(json['diffIds'], 'diffIds', readDiffId),
    steps: readList(json['steps'], 'steps', readStep),
    aliases: readList(json['aliases'], 'aliases', readAlias),
  }
}

function readList<Item>(
  value: unknown,
  name: string,
  read: (item: unknown) => Item | undefined,
): Item[] {
  if (!Array.isArray(value) || value.length > RECORDS_MAX) {
    throw new Error(`its ${name} are no list of at most ${RECORDS_MAX}`)
  }
  return value.map((item, position) => {
    const found = read(item)
    if (found === undefined) {
      throw new Error(`its ${name}[${position}] is damaged`)
    }
    return found
  })
}

function readStep(value: unknown): CachedStep | undefined {
  if (!isObject(value)) {
    return undefined
  }
  const key = readKey(value['key'])
  const diffId = readDiffId(value['diffId'])
  const { createdAt, inputs } = value
  if (
    key === undefined ||
    diffId === undefined ||
    typeof createdAt !== 'string' ||
    !/^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(createdAt) ||
    Number.isNaN(Date.parse(createdAt))
  ) {
    return undefined
  }
  if (inputs === undefined) {
    return { key, diffId, createdAt, inputs }
  }
  // Inputs that give another key would let one step answer for another.
  return isCopyInputs(inputs) && keyOf(inputs) === key
    ? { key, diffId, createdAt, inputs }
    : undefined
}

function readAlias(value: unknown): CachedAlias | undefined {
  const alias = isObject(value) ? readKey(value['alias']) : undefined
  const key = isObject(value) ? readKey(value['key']) : undefined
  return alias === undefined || key === undefined ? undefined : { alias, key }
}

function readKey(value: unknown): CacheKey | undefined {
  return typeof value === 'string' ? parseDigest(value) : undefined
}

function readDiffId(value: unknown): DiffId | undefined {
  return typeof value === 'string' ? parseDiffId(value) : undefined
}

function isCopyInputs(value: unknown): value is KeyInputs {
  return isObject(value) && value['kind'] === 'copy' && Array.isArray(value['sources'])
}

function keyOf(inputs: KeyInputs): CacheKey | undefined {
  try {
    return cacheKeyOf(inputs)
  } catch (error) {
    // Values that no inputs have.
    if (error instanceof TypeError) {
      return undefined
    }
    throw error
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
