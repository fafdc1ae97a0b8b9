import type { ResourceLimits } from '../worker/protocol.ts'

/** One value to write: `controller` is the directory in version 1, and what has to be delegated in version 2. */
export interface CgroupSetting {
  readonly controller: 'memory' | 'cpu' | 'cpuset' | 'pids'
  readonly file: string
  readonly value: string
}

/** The files of cgroup version 2 for these limits (Documentation/admin-guide/cgroup-v2.rst). */
export function settingsV2(limits: ResourceLimits): CgroupSetting[] {
  const { memoryBytes, memorySwapBytes, cpuShares, cpuPeriodUs, cpuQuotaUs } = limits
  const settings: (CgroupSetting | undefined)[] = [
    setting('memory', 'memory.max', memoryBytes),
    // Docker's number is memory and swap together, version 2's is swap alone.
    setting('memory', 'memory.swap.max', swapAlone(memoryBytes, memorySwapBytes)),
    setting('cpu', 'cpu.weight', cpuShares === undefined ? undefined : weightOf(cpuShares)),
    setting('cpu', 'cpu.max', cpuMax(cpuQuotaUs, cpuPeriodUs)),
    ...sharedSettings(limits),
  ]
  return settings.filter((item) => item !== undefined)
}

/** The files of cgroup version 1 (Documentation/admin-guide/cgroup-v1/). */
export function settingsV1(limits: ResourceLimits): CgroupSetting[] {
  const { memoryBytes, memorySwapBytes, cpuShares, cpuPeriodUs, cpuQuotaUs } = limits
  const settings: (CgroupSetting | undefined)[] = [
    setting('memory', 'memory.limit_in_bytes', memoryBytes),
    setting('memory', 'memory.memsw.limit_in_bytes', memorySwapBytes),
    setting('cpu', 'cpu.shares', cpuShares),
    setting('cpu', 'cpu.cfs_period_us', cpuPeriodUs),
    setting('cpu', 'cpu.cfs_quota_us', cpuQuotaUs),
    ...sharedSettings(limits),
  ]
  return settings.filter((item) => item !== undefined)
}

function sharedSettings({
  cpusetCpus,
  cpusetMems,
  pidsMax,
}: ResourceLimits): (CgroupSetting | undefined)[] {
  return [
    setting('cpuset', 'cpuset.cpus', cpusetCpus),
    setting('cpuset', 'cpuset.mems', cpusetMems),
    setting('pids', 'pids.max', pidsMax),
  ]
}

function setting(
  controller: CgroupSetting['controller'],
  file: string,
  value: number | string | undefined,
): CgroupSetting | undefined {
  return value === undefined ? undefined : { controller, file, value: String(value) }
}

function swapAlone(
  memory: number | undefined,
  total: number | undefined,
): number | string | undefined {
  if (total === undefined) return undefined
  return total < 0 ? 'max' : Math.max(0, total - (memory ?? 0))
}

/** Shares of 2..262144 onto weights of 1..10000, as OCI runtimes convert them. */
function weightOf(shares: number): number {
  return Math.floor(1 + ((Math.min(262_144, Math.max(2, shares)) - 2) * 9999) / 262_142)
}

function cpuMax(quotaUs: number | undefined, periodUs: number | undefined): string | undefined {
  if (quotaUs === undefined && periodUs === undefined) return undefined
  const quota = quotaUs === undefined || quotaUs < 0 ? 'max' : String(quotaUs)
  return `${quota} ${periodUs ?? 100_000}`
}
