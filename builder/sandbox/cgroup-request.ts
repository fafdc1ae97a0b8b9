import { posix } from 'node:path'
import { cannotLimit } from './cgroup-error.ts'
import type { CgroupSetting } from './cgroup-settings.ts'

export interface CgroupUsage {
  readonly isOutOfMemory: boolean
  readonly peakMemoryBytes: number | undefined
}

/** The control group of one step. Disposing removes it; by then the step is dead. */
export interface StepCgroup extends AsyncDisposable {
  /** `cgroup.procs` files that the step joins; empty without a group. */
  readonly procs: readonly string[]
  usage(): Promise<CgroupUsage>
}

/** Where the groups of this machine are, and this process among them. */
export interface CgroupHierarchy {
  readonly mountPoint: string
  /** The text of /proc/self/cgroup (cgroups(7)). */
  readonly own: string
}

/** What a group is made from, in either version. */
export interface CgroupRequest extends CgroupHierarchy {
  /** As on the command line. */
  readonly parent: string | undefined
  /** Of the group itself. */
  readonly name: string
  readonly settings: readonly CgroupSetting[]
}

/** Holds our groups where no other was asked for. */
export const DEFAULT_PARENT = 'tsbuild'

/** `--cgroup-parent` as a path from the hierarchy's root. Errors: `sandbox-limit-unsupported`. */
export function groupPath(parent: string): string {
  if (parent.split('/').includes('..')) {
    throw cannotLimit(
      `control group ${JSON.stringify(parent)} may not contain ".."`,
      undefined,
      'give its path from the root of the hierarchy',
    )
  }
  return posix.join('/', parent)
}

/** The groups from the hierarchy's root to `path`, without `path` itself: `/`, `/a`, ... */
export function groupsAbove(path: string): string[] {
  return namesIn(path).map((_, index, names) => `/${names.slice(0, index).join('/')}`)
}

/** The deepest group that has both below it, or is one of them. */
export function commonGroup(one: string, other: string): string {
  const others = namesIn(other)
  const names = namesIn(one)
  const end = names.findIndex((name, index) => name !== others[index])
  return `/${names.slice(0, end < 0 ? names.length : end).join('/')}`
}

function namesIn(path: string): string[] {
  return path.split('/').filter(Boolean)
}
