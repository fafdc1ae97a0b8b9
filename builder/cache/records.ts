import { type DiffId, parseDiffId, parseDigest } from '../../registry-client/oci/index.ts'
import type { CacheKey, KeyInputs } from '../solver/cache-key.ts'

/** What a step left behind: enough to use its layer again and to say why a later step is another one. */
export interface StepRecord {
  readonly diffId: DiffId
  /** When the step ran, RFC 3339: the layer's time in the image's history. */
  readonly createdAt: string
  readonly title: string
  readonly inputs: KeyInputs
}

/** Where records are kept: small values under a key; a write is whole or not there (features row K20). */
export interface RecordStore {
  read(key: string): Promise<Uint8Array | undefined>
  write(key: string, bytes: Uint8Array): Promise<void>
}

/** The records of steps, aliases and positions. Anything unreadable is a miss, never an error. */
export class CacheRecords {
  readonly #store: RecordStore

  constructor(store: RecordStore) {
    this.#store = store
  }

  async readStep(key: CacheKey): Promise<StepRecord | undefined> {
    return parseStep(await this.#read(`step-${hex(key)}`))
  }

  async writeStep(key: CacheKey, record: StepRecord): Promise<void> {
    await this.#write(`step-${hex(key)}`, record)
  }

  /** The content key that an alias key stood for last time. */
  async readAlias(alias: CacheKey): Promise<CacheKey | undefined> {
    const value = await this.#read(`alias-${hex(alias)}`)
    return isObject(value) ? parseKey(value['key']) : undefined
  }

  async writeAlias(alias: CacheKey, key: CacheKey): Promise<void> {
    await this.#write(`alias-${hex(alias)}`, { key })
  }

  /** Inputs of the step that was last seen at a position (a stage's n-th instruction of a project), for `explain`. */
  async readPosition(position: string): Promise<KeyInputs | undefined> {
    const value = await this.#read(`position-${hex(position)}`)
    return isObject(value) ? parseInputs(value['inputs']) : undefined
  }

  async writePosition(position: string, inputs: KeyInputs): Promise<void> {
    await this.#write(`position-${hex(position)}`, { inputs })
  }

  async #read(key: string): Promise<unknown> {
    const bytes = await this.#store.read(key)
    if (bytes === undefined) {
      return undefined
    }
    try {
      return JSON.parse(Buffer.from(bytes).toString())
    } catch (error) {
      if (error instanceof SyntaxError) {
        return undefined
      }
      throw error
    }
  }

  async #write(key: string, value: object): Promise<void> {
    await this.#store.write(key, Buffer.from(JSON.stringify(value)))
  }
}

/** The diffId that a stored record keeps alive, for garbage collection; undefined for records without a layer. */
export function layerOfRecord(bytes: Uint8Array): DiffId | undefined {
  try {
    return parseStep(JSON.parse(Buffer.from(bytes).toString()))?.diffId
  } catch (error) {
    if (error instanceof SyntaxError) {
      return undefined
    }
    throw error
  }
}

function parseStep(value: unknown): StepRecord | undefined {
  if (!isObject(value)) {
    return undefined
  }
  const diffId = typeof value['diffId'] === 'string' ? parseDiffId(value['diffId']) : undefined
  const inputs = parseInputs(value['inputs'])
  const { createdAt, title } = value
  if (
    diffId === undefined ||
    inputs === undefined ||
    typeof createdAt !== 'string' ||
    Number.isNaN(Date.parse(createdAt)) ||
    typeof title !== 'string'
  ) {
    return undefined
  }
  return { diffId, inputs, createdAt, title }
}

/**
 * Inputs only serve to be compared and shown, field by field, so a known kind is all that is asked of them.
 */
function parseInputs(value: unknown): KeyInputs | undefined {
  return isInputs(value) ? value : undefined
}

function isInputs(value: unknown): value is KeyInputs {
  return (
    isObject(value) &&
    typeof value['parent'] === 'string' &&
    (value['kind'] === 'run' || value['kind'] === 'copy' || value['kind'] === 'mkdir')
  )
}

function parseKey(value: unknown): CacheKey | undefined {
  return typeof value === 'string' ? parseDigest(value) : undefined
}

function hex(key: string): string {
  return key.replace('sha256:', '')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
