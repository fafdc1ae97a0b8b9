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
  try {
    return isV2
      ? await createV2(mountPoint, path, settings)
      : await createV1(mountPoint, path, settings)
  } catch (error) {
    throw unsupported(error)
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
): Promise<StepCgroup> {
  const directory = join(mountPoint, path)
  await mkdir(directory, { recursive: true })
  const controllers = [...new Set(settings.map(({ controller }) => controller))]
  await delegate(mountPoint, path, controllers)
  for (const { file, value } of settings) await writeFile(join(directory, file), value)
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
    await writeFile(join(above, 'cgroup.subtree_control'), request)
    above = join(above, name)
  }
}

async function createV1(
  mountPoint: string,
  path: string,
  settings: readonly CgroupSetting[],
): Promise<StepCgroup> {
  const controllers = [
    ...new Set<string>(['memory', ...settings.map(({ controller }) => controller)]),
  ]
  const directories = controllers.map((name) => join(mountPoint, name, path))
  for (const directory of directories) await mkdir(directory, { recursive: true })
  for (const { controller, file, value } of settings)
    await writeFile(join(mountPoint, controller, path, file), value)
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

async function readIfThere(path: string): Promise<string> {
  return existsSync(path) ? await readFile(path, 'utf8') : ''
}

function numberIn(text: string): number | undefined {
  return /^\d+\s*$/.test(text) ? Number(text) : undefined
}

function unsupported(error: unknown): unknown {
  if (!(error instanceof Error) || !('path' in error)) return error
  return new SandboxError(
    'sandbox-limit-unsupported',
    `could not limit the step: ${error.message}; limits need control groups that may be written: run as root, or delegate a group (systemd-run --user -p Delegate=yes)`,
    { cause: error },
  )
}
