import { collectGarbage, type GcPolicy, type GcResult } from '../../../snapshotter/index.ts'
import { cacheSources, type PrunedImages } from '../gc-sources.ts'
import type { LazyWorker } from '../../ops/lazy-worker.ts'
import { cacheMountSizes } from '../mount-sizes.ts'
import { onlyOf, type PruneFilters } from '../prune-policy.ts'
import type { CommandServices } from '../services.ts'

export interface CacheCollection {
  readonly pruned: PrunedImages
  readonly filters: Pick<PruneFilters, 'kinds' | 'ids'>
  readonly policy: GcPolicy
}

/** Collects what `collection` says. `worker` measures and removes what this user cannot. */
export async function collectCache(
  services: CommandServices,
  worker: LazyWorker,
  { pruned, filters, policy }: CacheCollection,
  signal: AbortSignal,
): Promise<GcResult> {
  const { kernel, store } = services
  const mountSizes = await cacheMountSizes(services, worker, signal)
  return await collectGarbage(
    {
      store,
      kernel,
      sources: onlyOf(cacheSources(services, pruned, mountSizes), filters),
      policy,
      removeStubborn: async (paths, inner) => (await worker.get(inner)).removeTrees(paths, inner),
    },
    signal,
  )
}
