import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'

/** A directory takes less than this where nothing is in the way, and more where thousands of inodes were freed. */
const FAST_NS = 60_000n
const TRIES_MAX = 6

/**
 * Makes a new directory in `parent`, a `Kernel.spreadChildren`, with an empty `fs` (0755) for the files of a layer. An ext4
 * without journal looks at each inode of a block group that was freed in the last minutes, for every file made there, and
 * prefers the groups that were emptied. How long `fs` itself takes shows it: then there is a try elsewhere
 * (docs/benchmarks.md). Takes microseconds, so it does not go through the thread pool. Throws what mkdir(2) answers.
 */
export function makePlace(parent: string, prefix: string): string {
  const slower: string[] = []
  try {
    let best = makeTimed(parent, prefix)
    for (let tries = 1; best.tookNs > FAST_NS && tries < TRIES_MAX; tries++) {
      const next = makeTimed(parent, prefix)
      const isFaster = next.tookNs < best.tookNs
      slower.push(isFaster ? best.path : next.path)
      if (isFaster) best = next
    }
    return best.path
  } finally {
    for (const path of slower) removePlace(path)
  }
}

function makeTimed(parent: string, prefix: string): { path: string; tookNs: bigint } {
  const path = mkdtempSync(join(parent, prefix))
  const beforeNs = process.hrtime.bigint()
  mkdirSync(join(path, 'fs'), { mode: 0o755 })
  return { path, tookNs: process.hrtime.bigint() - beforeNs }
}

function removePlace(path: string): void {
  rmdirSync(join(path, 'fs'))
  rmdirSync(path)
}
