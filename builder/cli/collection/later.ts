import { constants, setPriority } from 'node:os'
import { errnoOf, packageFile } from '../../../snapshotter/index.ts'
import { diskSpaceAt } from './disk.ts'
import { isCollectionDue } from './due.ts'
import type { CollectionSettings } from './limits.ts'

export interface CollectLaterOptions {
  readonly root: string
  /** undefined: never. */
  readonly settings: CollectionSettings | undefined
  readonly env: Readonly<Record<string, string | undefined>>
}

/**
 * After a build: has the state root collected by a process that outlives this one, when it is time. Nobody waits for it;
 * the next build tells why it failed. Killed at any point it leaves what the next collection or command removes
 * (docs/decisions/011-collection-afterwards.md).
 */
export async function collectLater({ root, settings, env }: CollectLaterOptions): Promise<void> {
  if (settings === undefined) return
  const due = { root, settings, nowMs: Date.now(), disk: diskSpaceAt }
  const program = (await isCollectionDue(due)) ? packageFile('dist/builder/cli/main.js') : undefined
  if (program === undefined) return
  const { spawn } = await import('node:child_process')
  const args = [program, 'prune', '--auto', '--root', root]
  const child = spawn(process.execPath, args, { cwd: '/', env, detached: true, stdio: 'ignore' })
  // Where no process can be started nothing is collected.
  child.once('error', () => undefined)
  if (child.pid !== undefined) yieldProcessor(child.pid)
  child.unref()
}

/** Builds go first. */
function yieldProcessor(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_LOW)
  } catch (error) {
    // It has ended already.
    if (errnoOf(error) === undefined) throw error
  }
}
