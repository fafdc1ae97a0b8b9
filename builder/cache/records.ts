import {
  type Digest,
  type DiffId,
  digestHex,
  parseDiffId,
  parseDigest,
} from '../../registry-client/oci/index.ts'
import type { CacheKey, KeyInputs } from '../solver/cache-key.ts'

/** What a step left behind: enough to use its layer again and to say why a later step is another one. */
export interface StepRecord {
  readonly diffId: DiffId
  /** When the step ran, RFC 3339: the layer's time in the image's history. */
  readonly createdAt: string
  readonly title: string
  readonly inputs: KeyInputs
  /** What executing it took; absent for what was not executed here, or is no process. */
  readonly usage?: StepUsage
  /** With another SOURCE_DATE_EPOCH its layer is the same: nothing in it has that time. */
  readonly isTimeless?: boolean
}

export interface StepUsage {
  readonly cpuTimeMs: number
  /** Undefined where it could not be measured. */
  readonly peakMemoryBytes?: number
}

/** The content key that an alias key stood for last time. */
export interface AliasRecord {
  readonly key: CacheKey
}

/** Inputs of the step that was last seen at a position (a stage's n-th instruction of a project), for `explain`. */
export interface PositionRecord {
  readonly inputs: KeyInputs
}

/** A snapshotter `RecordStore`: small values by name; a write is whole or not there (features row K20). */
export interface RecordTable<Value> {
  get(name: string): Promise<Value | undefined>
  put(name: string, record: Value): Promise<void>
  /** Notes that it was used now, for garbage collection (features row K24). */
  touch(name: string): Promise<void>
}

export interface RecordTables {
  readonly steps: RecordTable<StepRecord>
  readonly aliases: RecordTable<AliasRecord>
  readonly positions: RecordTable<PositionRecord>
}

/** What steps left behind, by key. Anything unreadable is a miss, never an error. */
export class CacheRecords {
  readonly #tables: RecordTables

  constructor(tables: RecordTables) {
    this.#tables = tables
  }

  async readStep(key: CacheKey): Promise<StepRecord | undefined> {
    return await this.#tables.steps.get(digestHex(key))
  }

  async touchStep(key: CacheKey): Promise<void> {
    await this.#tables.steps.touch(digestHex(key))
  }

  async writeStep(key: CacheKey, record: StepRecord): Promise<void> {
    await this.#tables.steps.put(digestHex(key), record)
  }

  async readAlias(alias: CacheKey): Promise<CacheKey | undefined> {
    return (await this.#tables.aliases.get(digestHex(alias)))?.key
  }

  async touchAlias(alias: CacheKey): Promise<void> {
    await this.#tables.aliases.touch(digestHex(alias))
  }

  async writeAlias(alias: CacheKey, key: CacheKey): Promise<void> {
    await this.#tables.aliases.put(digestHex(alias), { key })
  }

  async readPosition(position: Digest): Promise<KeyInputs | undefined> {
    return (await this.#tables.positions.get(digestHex(position)))?.inputs
  }

  async writePosition(position: Digest, inputs: KeyInputs): Promise<void> {
    await this.#tables.positions.put(digestHex(position), { inputs })
  }
}

/** Reads for `RecordStore`: undefined when the value is not such a record. */
export function readAliasRecord(value: unknown): AliasRecord | undefined {
  const key =
    isObject(value) && typeof value['key'] === 'string' ? parseDigest(value['key']) : undefined
  return key === undefined ? undefined : { key }
}

export function readPositionRecord(value: unknown): PositionRecord | undefined {
  const inputs = isObject(value) ? parseInputs(value['inputs']) : undefined
  return inputs === undefined ? undefined : { inputs }
}

export function readStepRecord(value: unknown): StepRecord | undefined {
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
  const usage = readUsage(value['usage'])
  return {
    ...{ diffId, inputs, createdAt, title },
    ...(usage === undefined ? {} : { usage }),
    ...(value['isTimeless'] === true ? { isTimeless: true } : {}),
  }
}

/** Only shown: what is not one is as good as none. */
function readUsage(value: unknown): StepUsage | undefined {
  if (!isObject(value) || typeof value['cpuTimeMs'] !== 'number') {
    return undefined
  }
  const { cpuTimeMs, peakMemoryBytes } = value
  return { cpuTimeMs, ...(typeof peakMemoryBytes === 'number' ? { peakMemoryBytes } : {}) }
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

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
