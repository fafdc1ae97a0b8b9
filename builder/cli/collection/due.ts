import { stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from '../../../snapshotter/index.ts'
import { type CollectionSettings, type DiskSpace, limitsOn } from './limits.ts'

/** In the state root; its time is that of the last collection. */
const MARK = 'collected'

const EVERY_MS = 60 * 60 * 1000
/** While the disk has less left than wanted. */
const EVERY_MS_WHEN_SHORT = 5 * 60 * 1000

export interface DueOptions {
  readonly root: string
  readonly settings: CollectionSettings
  readonly nowMs: number
  readonly disk: (path: string) => Promise<DiskSpace>
}

/**
 * Whether it is time to look what the state root takes, and notes that it is looked at now. Costs a stat(2), and a statfs(2)
 * when the last time is a while ago. Where nothing can be noted (a disk that is read-only) it is never time; a full
 * disk lets the time of a file be changed.
 */
export async function isCollectionDue(options: DueOptions): Promise<boolean> {
  const mark = join(options.root, MARK)
  const now = new Date(options.nowMs)
  try {
    const last = await modifiedMs(mark)
    if (last === undefined) {
      // The first build of this root: there is nothing old.
      await writeFile(mark, '', { mode: 0o600 })
    } else if (!(await isLongEnough(options, last))) {
      return false
    }
    await utimes(mark, now, now)
    return last !== undefined
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return false
  }
}

async function isLongEnough(
  { root, settings, nowMs, disk }: DueOptions,
  lastMs: number,
): Promise<boolean> {
  const ageMs = nowMs - lastMs
  // A clock that was set back tells nothing.
  if (ageMs < 0 || ageMs >= EVERY_MS) return true
  if (ageMs < EVERY_MS_WHEN_SHORT) return false
  const space = await disk(root)
  return space.freeBytes < limitsOn(settings, space).minFreeBytes
}

async function modifiedMs(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}
