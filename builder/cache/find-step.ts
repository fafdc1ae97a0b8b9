import type { DiffId } from '../../registry-client/oci/index.ts'
import type { Store } from '../../snapshotter/index.ts'
import type { CacheKey } from '../solver/cache-key.ts'
import type { RemoteBlob } from '../solver/layer.ts'
import type { CacheRecords } from './records.ts'
import type { RemoteCaches } from './remote/remote-caches.ts'

/** A step that was done before, and where its layer is; `name`: nowhere, but nothing may need it. */
export type FoundStep = {
  readonly diffId: DiffId
  readonly createdAt: string
  /** The state root has no record of it. */
  readonly isForeign: boolean
} & (
  | { readonly place: 'store' | 'name'; readonly blob: undefined }
  | { readonly place: 'remote'; readonly blob: RemoteBlob }
)

export interface FindStepParts {
  readonly records: CacheRecords
  readonly layers: Pick<Store['layers'], 'get'>
  readonly remote: RemoteCaches | undefined
  readonly allowsNamesOnly: boolean
}

/** The step of a key: from the state root when its layer is there in any form, else from a remote cache. */
export async function findStep(
  key: CacheKey,
  parts: FindStepParts,
  signal: AbortSignal,
): Promise<FoundStep | undefined> {
  const { records, remote, allowsNamesOnly } = parts
  const own = await records.readStep(key)
  if (own !== undefined && (await isStored(own, parts, signal))) {
    await records.touchStep(key)
    return { ...timeOf(own), isForeign: false, place: 'store', blob: undefined }
  }
  const foreign = await remote?.step(key)
  if (foreign !== undefined && (await isStored(foreign, parts, signal))) {
    return { ...timeOf(foreign), isForeign: true, place: 'store', blob: undefined }
  }
  for (const step of [own, foreign]) {
    const blob = step === undefined ? undefined : await remote?.blob(step.diffId)
    if (step !== undefined && blob !== undefined) {
      return { ...timeOf(step), isForeign: step === foreign, place: 'remote', blob }
    }
  }
  return foreign !== undefined && allowsNamesOnly
    ? { ...timeOf(foreign), isForeign: true, place: 'name', blob: undefined }
    : undefined
}

type StepTime = Pick<FoundStep, 'diffId' | 'createdAt'>

function timeOf({ diffId, createdAt }: StepTime): StepTime {
  return { diffId, createdAt }
}

async function isStored(
  { diffId }: StepTime,
  { layers }: FindStepParts,
  signal: AbortSignal,
): Promise<boolean> {
  return ((await layers.get(diffId, signal))?.blobs.length ?? 0) > 0
}
