import { readFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { DisposableScope } from '../../snapshotter/index.ts'
import { countsKills, isWritable, numberIn, readGroupFile, writeGroupFile } from './cgroup-files.ts'
import { makeOwnGroup } from './own-group.ts'
import {
  type CgroupRequest,
  DEFAULT_PARENT,
  groupPath,
  groupsAbove,
  type StepCgroup,
} from './cgroup-request.ts'

/** One group in the hierarchy of each controller that is needed; memory always, for what is told of the step. */
export async function createV1(request: CgroupRequest): Promise<StepCgroup> {
  const { mountPoint, settings } = request
  const controllers = new Set<string>(['memory', ...settings.map(({ controller }) => controller)])
  const directories = new Map<string, string>()
  const groups = new DisposableScope()
  try {
    for (const controller of controllers) {
      const path = join(parentV1(request, controller), request.name)
      const directory = join(mountPoint, controller, path)
      groups.use(await makeOwnGroup(directory))
      directories.set(controller, directory)
      if (controller === 'cpuset') await inheritCpuset(join(mountPoint, controller), path)
    }
    for (const { controller, file, value } of settings)
      await writeGroupFile(join(directories.get(controller) ?? '', file), value)
  } catch (error) {
    await groups[Symbol.asyncDispose]()
    throw error
  }
  const memory = directories.get('memory') ?? ''
  return {
    procs: [...directories.values()].map((directory) => join(directory, 'cgroup.procs')),
    usage: async () => ({
      isOutOfMemory: countsKills(await readGroupFile(join(memory, 'memory.oom_control'))),
      peakMemoryBytes: numberIn(await readGroupFile(join(memory, 'memory.max_usage_in_bytes'))),
    }),
    [Symbol.asyncDispose]: () => groups[Symbol.asyncDispose](),
  }
}

function parentV1({ mountPoint, own, parent }: CgroupRequest, controller: string): string {
  if (parent !== undefined) return groupPath(parent)
  if (isWritable(join(mountPoint, controller))) return posix.join('/', DEFAULT_PARENT)
  const line = own
    .split('\n')
    .find((text) => text.split(':', 2)[1]?.split(',').includes(controller))
  return posix.join('/', line?.split(':').slice(2).join(':') ?? '', DEFAULT_PARENT)
}

/** A new group of version 1 has no processors and no memory, and may have none that the one above lacks (cpusets.rst). */
async function inheritCpuset(hierarchy: string, path: string): Promise<void> {
  for (const above of groupsAbove(path).slice(1).concat(path)) {
    const group = join(hierarchy, above)
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if ((await readFile(join(group, file), 'utf8')).trim() !== '') continue
      await writeGroupFile(join(group, file), await readFile(join(group, '..', file), 'utf8'))
    }
  }
}
