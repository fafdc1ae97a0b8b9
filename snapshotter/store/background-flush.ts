import { randomBytes } from 'node:crypto'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from './errors.ts'
import { writeText } from './named-file.ts'

const PREFIX = 'flush-'
/** A disk that takes longer is rather one whose flush died. */
const ABANDONED_MS = 60 * 60 * 1000

/**
 * syncfs(2) by sync(1) of coreutils or busybox, then the rename that makes the confirmation valid. Where sync knows no -f
 * nothing is confirmed, which is safe.
 */
const SCRIPT = 'sync -f "$1" && mv -f "$2" "$3" || rm -f "$2"'

export interface BackgroundFlush {
  /** Directory whose filesystem is written out. */
  readonly root: string
  /** Where the unfinished confirmation waits. */
  readonly workDir: string
  /** The confirmation, to become `target` once all is written. */
  readonly text: string
  readonly target: string
}

/**
 * Starts a process of its own that confirms what was written until now, and does not wait for it: nobody's build takes
 * longer because of a slow disk. It has no output and is nobody's child once we have ended. When it is killed, less is
 * confirmed, nothing else.
 */
export async function flushInBackground(flush: BackgroundFlush): Promise<void> {
  await removeAbandoned(flush.workDir)
  // A name of its own: the confirmation of a later moment must not become valid by an earlier sync.
  const waiting = join(flush.workDir, `${PREFIX}${randomBytes(8).toString('hex')}`)
  await writeText('what the disk has', waiting, flush.text, { flag: 'wx', mode: 0o600 })
  const { spawn } = await import('node:child_process')
  const args = ['-c', SCRIPT, 'tsbuild-flush', flush.root, waiting, flush.target]
  const child = spawn('/bin/sh', args, { cwd: '/', detached: true, stdio: 'ignore' })
  // Without a shell nothing is confirmed.
  child.once('error', () => undefined)
  child.unref()
}

async function removeAbandoned(workDir: string): Promise<void> {
  const names = (await readdir(workDir)).filter((name) => name.startsWith(PREFIX))
  for (const name of names) {
    const path = join(workDir, name)
    try {
      if ((await stat(path)).mtimeMs < Date.now() - ABANDONED_MS) {
        await rm(path, { force: true })
      }
    } catch (error) {
      // It became valid meanwhile.
      if (errnoOf(error) !== 'ENOENT') throw error
    }
  }
}
