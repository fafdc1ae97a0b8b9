import { accessSync, constants } from 'node:fs'
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { errnoOf } from '../../snapshotter/index.ts'
import { cannotLimit } from './cgroup-error.ts'

/** A group of this name in the mounted hierarchy. Errors: `sandbox-limit-unsupported`. */
export async function makeGroup(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true })
  } catch (error) {
    throw cannotLimit(`could not make control group ${directory}`, error)
  }
}

/** The kernel's word of refusal says nothing without file and value. Errors: `sandbox-limit-unsupported`. */
export async function writeGroupFile(file: string, value: string): Promise<void> {
  try {
    await writeFile(file, value)
  } catch (error) {
    const what = `could not write ${JSON.stringify(value)} to ${file}`
    throw VALUE_REFUSALS.has(errnoOf(error) ?? '')
      ? cannotLimit(what, error, VALUE_HELP)
      : cannotLimit(what, error)
  }
}

/** The file may be written, with another value. */
const VALUE_REFUSALS: ReadonlySet<string> = new Set(['EINVAL', 'ERANGE', 'EDOM'])
const VALUE_HELP =
  'the kernel does not take this value: it is too small or too large here, or another limit is against it ' +
  '(memory-swap counts memory too, and wants a memory limit)'

/** '' for a file that this kernel does not have. */
export async function readGroupFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return ''
    throw error
  }
}

export async function wordsIn(file: string): Promise<string[]> {
  return (await readGroupFile(file)).split(/\s+/).filter(Boolean)
}

/** What memory.events and memory.oom_control say in the same words. */
export function countsKills(text: string): boolean {
  return /^oom_kill [1-9]/m.test(text)
}

export function numberIn(text: string): number | undefined {
  return /^\d+\s*$/.test(text) ? Number(text) : undefined
}

/** Whether a file may be written, or groups be made in this one. */
export function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** How long processes that were killed may take to leave their group, when nobody waited for their end. */
const DEATH_MS_MAX = 2000

/** Removes a group whose processes have ended, or are about to. One that is not empty even then is left: the steps of a worker that died. */
export async function removeGroup(directory: string): Promise<void> {
  const until = performance.now() + DEATH_MS_MAX
  while (!(await isRemoved(directory)) && performance.now() < until) await delay(5)
}

async function isRemoved(directory: string): Promise<boolean> {
  try {
    await rmdir(directory)
    return true
  } catch (error) {
    if (errnoOf(error) === 'EBUSY') return false
    throw error
  }
}
