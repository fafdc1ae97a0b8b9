import { collectGarbage, type GcPolicy, type GcResult } from '../../../snapshotter/index.ts'
import { type CacheRecord, cacheSources, type PrunedImages } from '../gc-sources.ts'
import type { LazyWorker } from '../../ops/lazy-worker.ts'
import { cacheMountSizes } from '../mount-sizes.ts'
import type { CommandServices } from '../services.ts'

export interface CacheCollection {
  readonly pruned: PrunedImages
  /** As in `GcOptions`. */
  readonly policies: readonly GcPolicy<CacheRecord>[]
}

/** Collects what `collection` says. `worker` measures and removes what this user cannot. */
export async function collectCache(
  services: CommandServices,
  worker: LazyWorker,
  { pruned, policies }: CacheCollection,
  signal: AbortSignal,
): Promise<GcResult> {
  const { kernel, store } = services
  const mountSizes = await cacheMountSizes(services, worker, signal)
  return await collectGarbage(
    {
      store,
      kernel,
      sources: cacheSources(services, pruned, mountSizes),
      policies,
      removeStubborn: async (paths, inner) => (await worker.get(inner)).removeTrees(paths, inner),
    },
    signal,
  )
}
