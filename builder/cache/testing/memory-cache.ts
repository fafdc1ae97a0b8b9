import assert from 'node:assert/strict'
import { type DiffId, digestOf, parseDiffId } from '../../../registry-client/oci/index.ts'
import type { Layer, Store } from '../../../snapshotter/index.ts'
import type { MkdirInputs } from '../../solver/cache-key.ts'
import { CacheRecords, type RecordTable } from '../records.ts'

/** Of a step that tests look for. */
export const STEP_INPUTS: MkdirInputs = {
  kind: 'mkdir',
  parent: 'scratch',
  path: '/a',
  user: '',
  epochSec: undefined,
}

export function diffIdOf(text: string): DiffId {
  const diffId = parseDiffId(digestOf(text))
  assert.ok(diffId !== undefined)
  return diffId
}

/** Records that nobody else has. */
export function memoryRecords(): CacheRecords {
  return new CacheRecords({
    steps: memoryTable(),
    aliases: memoryTable(),
    positions: memoryTable(),
  })
}

function memoryTable<Value>(): RecordTable<Value> {
  const values = new Map<string, Value>()
  return {
    get: async (name) => values.get(name),
    put: async (name, value) => void values.set(name, value),
    touch: async () => {},
  }
}

/** A store that has a blob of each of these layers. */
export function layersOf(present: Iterable<DiffId>): Pick<Store['layers'], 'get'> {
  const [digest, sizeBytes, compression] = [digestOf('blob'), 1, 'gzip'] as const
  const layer: Omit<Layer, 'diffId'> = {
    uncompressedSizeBytes: 1,
    blobs: [{ digest, sizeBytes, compression, engine: undefined }],
    contents: undefined,
    directory: undefined,
  }
  return {
    get: async (diffId) => (new Set(present).has(diffId) ? { diffId, ...layer } : undefined),
  }
}
