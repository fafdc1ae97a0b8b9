import { utimesSync } from 'node:fs'
import { errnoOf } from '../../snapshotter/index.ts'

/** What is known of something that does not change is not written anew: its time is what `prune` goes by (row K24). */
export function markUsed(file: string): void {
  const now = new Date()
  try {
    utimesSync(file, now, now)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}
