import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import type { ResourceLimits } from '../worker/protocol.ts'
import { type CgroupSetting, settingsV1, settingsV2 } from './cgroup-settings.ts'
import { SandboxError } from './errors.ts'

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

const MOUNT_POINT = '/sys/fs/cgroup'
const PARENT = 'tsbuild'

/**
 * A control group with `limits`, below `parent`. Without either there is none: a step then has what its builder has
 * (features row X41). Errors: `sandbox-limit-unsupported`, naming the file that could not be written.
 */
export async function createCgroup(
  limits: ResourceLimits,
  parent: string | undefined,
  mountPoint: string = MOUNT_POINT,
): Promise<StepCgroup> {
  const isV2 = existsSync(join(mountPoint, 'cgroup.controllers'))
  const settings = isV2 ? settingsV2(limits) : settingsV1(limits)
  if (settings.length === 0 && parent === undefined) return NO_CGROUP
  const path = join(cgroupPath(parent), randomBytes(8).toString('hex'))
  const made: string[] = []
  try {
    return isV2
      ? await createV2(mountPoint, path, settings, made)
      : await createV1(mountPoint, path, settings, made)
  } catch (error) {
    for (const directory of made) await rmdir(directory)
    throw error
  }
}

/** Makes a group with all above it. */
async function makeGroup(directory: string, made: string[]): Promise<void> {
  try {
    await mkdir(directory, { recursive: true })
  } catch (error) {
    throw unsupported(`could not make control group ${directory}`, error)
  }
  made.push(directory)
}

/** The kernel's word of refusal says nothing without file and value. */
async function write(file: string, value: string): Promise<void> {
  try {
    await writeFile(file, value)
  } catch (error) {
    throw unsupported(`could not write ${JSON.stringify(value)} to ${file}`, error)
  }
}

const NO_CGROUP: StepCgroup = {
  procs: [],
  usage: async () => ({ isOutOfMemory: false, peakMemoryBytes: undefined }),
  [Symbol.asyncDispose]: async () => undefined,
}

function cgroupPath(parent: string | undefined): string {
  const path = posix.join('/', parent ?? PARENT)
  if ((parent ?? '').split('/').includes('..')) {
    throw new SandboxError(
      'sandbox-limit-unsupported',
      `could not use control group ${JSON.stringify(parent)}: it may not contain ".."`,
    )
  }
  return path
}

async function createV2(
  mountPoint: string,
  path: string,
  settings: readonly CgroupSetting[],
  made: string[],
): Promise<StepCgroup> {
  const directory = join(mountPoint, path)
  await makeGroup(directory, made)
  const controllers = [...new Set(settings.map(({ controller }) => controller))]
  await delegate(mountPoint, path, controllers)
  for (const { file, value } of settings) await write(join(directory, file), value)
  return {
    procs: [join(directory, 'cgroup.procs')],
    usage: async () => ({
      isOutOfMemory: /^oom_kill [1-9]/m.test(await readIfThere(join(directory, 'memory.events'))),
      peakMemoryBytes: numberIn(await readIfThere(join(directory, 'memory.peak'))),
    }),
    [Symbol.asyncDispose]: () => rmdir(directory),
  }
}

/** A group may only use a controller that every group above passes down. */
async function delegate(
  mountPoint: string,
  path: string,
  controllers: readonly string[],
): Promise<void> {
  if (controllers.length === 0) return
  const request = controllers.map((name) => `+${name}`).join(' ')
  let above = mountPoint
  for (const name of path.split('/').filter(Boolean)) {
    await write(join(above, 'cgroup.subtree_control'), request)
    above = join(above, name)
  }
}

async function createV1(
  mountPoint: string,
  path: string,
  settings: readonly CgroupSetting[],
  made: string[],
): Promise<StepCgroup> {
  const controllers = [
    ...new Set<string>(['memory', ...settings.map(({ controller }) => controller)]),
  ]
  const directories = controllers.map((name) => join(mountPoint, name, path))
  for (const directory of directories) await makeGroup(directory, made)
  if (controllers.includes('cpuset')) await inheritCpuset(join(mountPoint, 'cpuset'), path)
  for (const { controller, file, value } of settings)
    await write(join(mountPoint, controller, path, file), value)
  const memory = join(mountPoint, 'memory', path)
  return {
    procs: directories.map((directory) => join(directory, 'cgroup.procs')),
    usage: async () => ({
      isOutOfMemory: /^oom_kill [1-9]/m.test(await readIfThere(join(memory, 'memory.oom_control'))),
      peakMemoryBytes: numberIn(await readIfThere(join(memory, 'memory.max_usage_in_bytes'))),
    }),
    [Symbol.asyncDispose]: async () => {
      for (const directory of directories) await rmdir(directory)
    },
  }
}

/** A new group of version 1 has no processors and no memory, and may have none that the one above lacks (cpusets.rst). */
async function inheritCpuset(hierarchy: string, path: string): Promise<void> {
  let above = hierarchy
  for (const name of path.split('/').filter(Boolean)) {
    const group = join(above, name)
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      const own = (await readFile(join(group, file), 'utf8')).trim()
      if (own === '') await write(join(group, file), await readFile(join(above, file), 'utf8'))
    }
    above = group
  }
}

async function readIfThere(path: string): Promise<string> {
  return existsSync(path) ? await readFile(path, 'utf8') : ''
}

function numberIn(text: string): number | undefined {
  return /^\d+\s*$/.test(text) ? Number(text) : undefined
}

function unsupported(what: string, cause: unknown): SandboxError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
  return new SandboxError(
    'sandbox-limit-unsupported',
    `could not limit the step: ${what}: ${code}; limits need control groups that may be written: run as root, outside of a container or in a privileged one`,
    { cause },
  )
}
