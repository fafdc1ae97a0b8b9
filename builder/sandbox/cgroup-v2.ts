import { writeFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { errnoOf } from '../../snapshotter/index.ts'
import { cannotLimit } from './cgroup-error.ts'
import {
  countsKills,
  isWritable,
  makeGroup,
  numberIn,
  readGroupFile,
  wordsIn,
  writeGroupFile,
} from './cgroup-files.ts'
import { makeOwnGroup } from './own-group.ts'
import {
  type CgroupRequest,
  commonGroup,
  DEFAULT_PARENT,
  groupPath,
  groupsAbove,
  type StepCgroup,
} from './cgroup-request.ts'

/**
 * The processes of a delegated group, once it has groups with controllers below it: then it may have none itself
 * (cgroup-v2.rst, "No Internal Process Constraint").
 */
const LEAF = 'tsbuild-builder'
/** Processes fork while they are moved. */
const ROUNDS_MAX = 100

/** One group, with every group above it passing down the controllers that are needed. */
export async function createV2(request: CgroupRequest): Promise<StepCgroup> {
  const { mountPoint, settings } = request
  const own = ownGroup(request.own)
  const path = join(parentV2(request, own), request.name)
  const directory = join(mountPoint, path)
  checkMove(mountPoint, own, path)
  const group = await makeOwnGroup(directory)
  try {
    const controllers = [...new Set(settings.map(({ controller }) => controller))]
    for (const above of groupsAbove(path)) {
      await passDown({ mountPoint, own, path: above }, controllers)
    }
    const there = await wordsIn(join(directory, 'cgroup.controllers'))
    const missing = controllers.filter((name) => !there.includes(name))
    if (missing.length > 0) throw withoutControllers(path, missing, there)
    for (const { file, value } of settings) await writeGroupFile(join(directory, file), value)
  } catch (error) {
    await group[Symbol.asyncDispose]()
    throw error
  }
  return {
    procs: [join(directory, 'cgroup.procs')],
    usage: async () => ({
      isOutOfMemory: countsKills(await readGroupFile(join(directory, 'memory.events'))),
      peakMemoryBytes: numberIn(await readGroupFile(join(directory, 'memory.peak'))),
    }),
    [Symbol.asyncDispose]: () => group[Symbol.asyncDispose](),
  }
}

/** The group of this process by /proc/self/cgroup; where it was put into a leaf, the group that was delegated. */
function ownGroup(text: string): string {
  const path = /^0::(\/.*)$/m.exec(text)?.[1] ?? '/'
  return posix.basename(path) === LEAF ? posix.dirname(path) : path
}

function parentV2({ mountPoint, parent }: CgroupRequest, own: string): string {
  if (parent !== undefined) return groupPath(parent)
  return posix.join('/', isWritable(mountPoint) ? '' : own, DEFAULT_PARENT)
}

/** Who moves a process must be allowed to write to the group that has both places below it (cgroups(7), "Delegation containment"). */
function checkMove(mountPoint: string, own: string, path: string): void {
  const common = commonGroup(own, path)
  if (isWritable(join(mountPoint, common, 'cgroup.procs'))) return
  throw cannotLimit(
    `the group of this process is ${own}, and it may not be moved from there to ${posix.dirname(path)}: ` +
      `${join(mountPoint, common, 'cgroup.procs')} may not be written`,
  )
}

interface Group {
  readonly mountPoint: string
  /** The group that this process may empty. */
  readonly own: string
  readonly path: string
}

/** Lets the groups below `path` have these controllers, if it is ours. Errors: `sandbox-limit-unsupported`, naming those that are not there. */
export async function passDown(
  { mountPoint, own, path }: Group,
  controllers: readonly string[],
): Promise<void> {
  const directory = join(mountPoint, path)
  const file = join(directory, 'cgroup.subtree_control')
  // Above what is delegated: what is passed down there shows below.
  if (!isWritable(file)) return
  const passed = await wordsIn(file)
  const wanted = controllers.filter((name) => !passed.includes(name))
  if (wanted.length === 0) return
  const there = await wordsIn(join(directory, 'cgroup.controllers'))
  const missing = wanted.filter((name) => !there.includes(name))
  if (missing.length > 0) throw withoutControllers(path, missing, there)
  const value = wanted.map((name) => `+${name}`).join(' ')
  try {
    await writeFile(file, value)
  } catch (error) {
    if (errnoOf(error) !== 'EBUSY' || path !== own) {
      throw cannotLimit(`could not write ${JSON.stringify(value)} to ${file}`, error)
    }
    await moveToLeaf(directory)
    await writeGroupFile(file, value)
  }
}

function withoutControllers(
  path: string,
  missing: readonly string[],
  there: readonly string[],
): ReturnType<typeof cannotLimit> {
  const names = `controller${missing.length === 1 ? '' : 's'} ${missing.join(', ')}`
  const help =
    path === '/'
      ? 'they are off in this kernel, used by a hierarchy of version 1, or not given to this container'
      : `have them delegated too, as by systemd: Delegate=${[...there, ...missing].join(' ')}`
  return cannotLimit(
    `control group ${path} has no ${names} (it has ${there.join(', ') || 'none'})`,
    undefined,
    help,
  )
}

/** Moves all processes of a group, this one among them, to a leaf of it. */
async function moveToLeaf(directory: string): Promise<void> {
  const leaf = join(directory, LEAF)
  await makeGroup(leaf)
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const pids = await wordsIn(join(directory, 'cgroup.procs'))
    if (pids.length === 0) return
    if (pids.includes('0')) {
      throw cannotLimit(`control group ${directory} has processes of another pid namespace`)
    }
    for (const pid of pids) await moveProcess(pid, join(leaf, 'cgroup.procs'))
  }
  throw cannotLimit(
    `the processes of control group ${directory} multiply faster than they are moved`,
  )
}

async function moveProcess(pid: string, procs: string): Promise<void> {
  try {
    await writeFile(procs, pid)
  } catch (error) {
    // It has ended meanwhile.
    if (errnoOf(error) === 'ESRCH') return
    throw cannotLimit(`could not move process ${pid} to ${procs}`, error)
  }
}
