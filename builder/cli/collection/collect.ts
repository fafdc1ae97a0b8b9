import type { GcPolicy, GcResult } from '../../../snapshotter/index.ts'
import { readUsage } from '../disk-usage.ts'
import type { CacheRecord } from '../gc-sources.ts'
import { workerForTrees } from '../mount-sizes.ts'
import type { CommandServices } from '../services.ts'
import { collectCache } from './collect-cache.ts'
import { notingFailure } from './failure.ts'
import { type CollectionSettings, type DiskSpace, limitsOn } from './limits.ts'
import { namedBy } from '../prune-policy.ts'
import { type CollectionRule, collectionRules, mayTake } from './rules.ts'

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
 * Collects by the rules, one after another until the limits are kept; undefined when nothing has to go, or another process is
 * at it. Whether a rule may have work is found without closing the gate, so that an hourly look at a root that has little
 * keeps no build waiting. A failure is noted for the next build.
 */
export async function collectByRules(
  options: CollectOptions,
  signal: AbortSignal,
): Promise<GcResult | undefined> {
  await using services = await options.open()
  const { locks, root } = services.store
  await using lock = await locks.tryAcquire(LOCK)
  if (lock === undefined) return undefined
  return await notingFailure(root.path, () => applyRules(services, options, signal), signal)
}

async function applyRules(
  services: CommandServices,
  { open, settings, nowMs, ...given }: CollectOptions,
  signal: AbortSignal,
): Promise<GcResult | undefined> {
  const usage = await usageApart(open, signal)
  const disk = await given.disk(services.store.root.path)
  const rules = collectionRules(usage, disk, limitsOn(settings, disk), nowMs).filter(
    (rule) => usage.totalBytes > rule.keepBytes && mayTake(rule, usage),
  )
  if (rules.length === 0) return undefined
  await using worker = workerForTrees(services)
  const collection = { pruned: 'bases', policies: rules.map(policyOf) } as const
  return await collectCache(services, worker, collection, signal)
}

function policyOf({ kinds, all, keepBytes, usedBeforeMs }: CollectionRule): GcPolicy<CacheRecord> {
  const before = usedBeforeMs === undefined ? {} : { usedBeforeMs }
  return { takes: namedBy({ kinds, ids: new Set() }), all, keepBytes, ...before }
}

/** What is measured is held until the end of its lease, and what is held cannot be collected. */
async function usageApart(
  open: CollectOptions['open'],
  signal: AbortSignal,
): ReturnType<typeof readUsage> {
  await using services = await open()
  return await readUsage(services, signal)
}
