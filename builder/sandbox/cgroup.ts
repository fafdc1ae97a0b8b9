import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ResourceLimits } from '../worker/protocol.ts'
import type { CgroupHierarchy, StepCgroup } from './cgroup-request.ts'
import { settingsV1, settingsV2 } from './cgroup-settings.ts'
import { createV1 } from './cgroup-v1.ts'
import { createV2 } from './cgroup-v2.ts'

/** Where the groups of a machine are mounted. */
export const CGROUP_MOUNT = '/sys/fs/cgroup'

/** Whether steps get control groups at all: without limits they have what their builder has (features row X41). */
export function needsCgroup(limits: ResourceLimits, parent: string | undefined): boolean {
  return Object.keys(limits).length > 0 || parent !== undefined
}

/**
 * A control group with `limits`, below `parent`; without `parent` below the root of the hierarchy where that may be
 * written, else below the group of this process. To be called outside of the worker: its pid namespace does not know the
 * processes of the groups.
 * Errors: `sandbox-limit-unsupported`, naming the group, file or controller.
 */
export async function createCgroup(
  limits: ResourceLimits,
  parent: string | undefined,
  hierarchy?: CgroupHierarchy,
): Promise<StepCgroup> {
  if (!needsCgroup(limits, parent)) return NO_CGROUP
  const found = hierarchy ?? {
    mountPoint: CGROUP_MOUNT,
    own: await readFile('/proc/self/cgroup', 'utf8'),
  }
  const name = randomBytes(8).toString('hex')
  return existsSync(join(found.mountPoint, 'cgroup.controllers'))
    ? await createV2({ ...found, parent, name, settings: settingsV2(limits) })
    : await createV1({ ...found, parent, name, settings: settingsV1(limits) })
}

const NO_CGROUP: StepCgroup = {
  procs: [],
  usage: async () => ({ isOutOfMemory: false, peakMemoryBytes: undefined }),
  [Symbol.asyncDispose]: async () => undefined,
}
