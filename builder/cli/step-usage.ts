import { join } from 'node:path'
import type { DiffId } from '../../registry-client/oci/index.ts'
import { readStepRecord, type StepRecord, type StepUsage } from '../cache/records.ts'
import type { CommandServices } from './services.ts'

/**
 * What the steps took that left these layers. Not there for layers of base images, of COPY, and of steps whose cache
 * record is gone or came from a remote cache.
 */
export async function layerUsages(
  diffIds: readonly DiffId[],
  { store }: Pick<CommandServices, 'store'>,
): Promise<ReadonlyMap<DiffId, StepUsage>> {
  const wanted = new Set(diffIds)
  const records = store.records(join(store.root.cacheDir, 'steps'), readStepRecord)
  const found = new Map<DiffId, StepRecord & { readonly usage: StepUsage }>()
  for (const name of await records.names()) {
    const record = await records.get(name)
    if (record?.usage === undefined || !wanted.has(record.diffId)) {
      continue
    }
    // Steps that differ may leave equal layers: the latest is most likely the one meant.
    const before = found.get(record.diffId)
    if (before === undefined || before.createdAt < record.createdAt) {
      found.set(record.diffId, { ...record, usage: record.usage })
    }
  }
  return new Map([...found].map(([diffId, { usage }]) => [diffId, usage]))
}
