import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmdirSync,
  statfsSync,
  statSync,
  unlinkSync,
} from 'node:fs'
import { join } from 'node:path'

/** Of ext2, ext3 and ext4 (statfs(2)). */
const EXT4_MAGIC = 0xef53
/** A directory takes less than this where nothing is in the way, and more where thousands of inodes were freed just now. */
const FAST_NS = 60_000n
const PROBES = 2
const TRIES_MAX = 10

/**
 * Makes a new directory in `parent`, a `Kernel.spreadChildren`, with an empty `fs` (0755) for the files of a layer. An ext4
 * without journal prefers the block groups that were emptied, and looks at each inode there that was freed in the last
 * minutes, for every file made. Two things show it, and then there is a try elsewhere: `fs` itself takes long, or, when
 * the inodes were written out since, the kernel gives one of each block of them, so that their numbers have gaps
 * (docs/benchmarks.md). Takes microseconds, so it does not go through the thread pool. Throws what mkdir(2) answers.
 */
export function makePlace(parent: string, prefix: string): string {
  if (statfsSync(parent).type !== EXT4_MAGIC) return makeTimed(parent, prefix).path
  const worse: string[] = []
  try {
    let best = makeProbed(parent, prefix)
    for (let tries = 1; best.cost > 0 && tries < TRIES_MAX; tries++) {
      const next = makeProbed(parent, prefix)
      const isBetter = next.cost < best.cost
      worse.push(isBetter ? best.path : next.path)
      if (isBetter) best = next
    }
    return best.path
  } finally {
    for (const path of worse) removePlace(path)
  }
}

/** `cost` of making files there: 0 where nothing is in the way, else of no unit, for comparing. */
function makeProbed(parent: string, prefix: string): { path: string; cost: number } {
  const { path, tookNs } = makeTimed(parent, prefix)
  if (tookNs > FAST_NS) return { path, cost: Number(tookNs) }
  const first = statSync(path).ino
  const gap = statSync(join(path, 'fs')).ino - first - 1
  // What follows is looked at only where it may be the place.
  return { path, cost: Math.abs(gap === 0 ? lastProbe(path) - first - 1 - PROBES : gap) }
}

/** Inode number of the last of some files made beside `fs`, which are gone again. */
function lastProbe(path: string): number {
  const probe = join(path, 'probe')
  let last = 0
  for (let count = 0; count < PROBES; count++) {
    const file = openSync(`${probe}-${count}`, 'wx')
    last = fstatSync(file).ino
    closeSync(file)
  }
  for (let count = 0; count < PROBES; count++) unlinkSync(`${probe}-${count}`)
  return last
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
