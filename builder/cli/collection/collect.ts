import type { GcResult } from '../../../snapshotter/index.ts'
import { readUsage } from '../disk-usage.ts'
import { workerForTrees } from '../mount-sizes.ts'
import type { CommandServices } from '../services.ts'
import { collectCache } from './collect-cache.ts'
import { type CollectionSettings, type DiskSpace, limitsOn } from './limits.ts'
import { collectionRules, mayTake } from './rules.ts'

export interface CollectOptions {
  /** Opens the state root; each has a lease of its own. */
  readonly open: () => Promise<CommandServices>
  readonly disk: (path: string) => Promise<DiskSpace>
  readonly settings: CollectionSettings
  readonly nowMs: number
}

/** Held by the process that collects. Another one has nothing to do then. */
const LOCK = 'collection'

/**
 * Collects by the rules, one after another until the limits are kept. What each took, in order: nothing at all when another
 * process is at it. Whether a rule has work is found without closing the gate, so that an hourly look at a root that has
 * little keeps no build waiting.
 */
export async function collectByRules(
  { open, settings, nowMs, ...given }: CollectOptions,
  signal: AbortSignal,
): Promise<GcResult[]> {
  await using services = await open()
  const { store } = services
  await using lock = await store.locks.tryAcquire(LOCK)
  if (lock === undefined) return []
  const usage = await usageApart(open, signal)
  const disk = await given.disk(store.root.path)
  await using worker = workerForTrees(services)
  const results: GcResult[] = []
  let usedBytes = usage.totalBytes
  for (const rule of collectionRules(usage, disk, limitsOn(settings, disk), nowMs)) {
    if (usedBytes <= rule.keepBytes || !mayTake(rule, usage)) continue
    const { all, usedBeforeMs, keepBytes } = rule
    const filters = { kinds: rule.kinds, ids: new Set<string>() }
    const policy = { all, keepBytes, ...(usedBeforeMs === undefined ? {} : { usedBeforeMs }) }
    const collection = { pruned: 'bases', filters, policy } as const
    const result = await collectCache(services, worker, collection, signal)
    results.push(result)
    usedBytes = result.keptBytes
  }
  return results
}

/** What is measured is held until the end of its lease, and what is held cannot be collected. */
async function usageApart(
  open: CollectOptions['open'],
  signal: AbortSignal,
): ReturnType<typeof readUsage> {
  await using services = await open()
  return await readUsage(services, signal)
}
