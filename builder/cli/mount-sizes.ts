import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { KernelError } from '../../snapshotter/index.ts'
import { LazyWorker } from '../ops/lazy-worker.ts'
import { treeSize } from '../worker/tree-size.ts'
import type { CommandServices } from './services.ts'

/**
 * Bytes of each cache mount, by its path. One that belongs to a sub-id and is not open to all (`uid=1000,mode=0700`) only a
 * worker can read; it is started only then. Before the collector, which lets nobody start anything while it decides.
 */
export async function cacheMountSizes(
  { store, kernel }: CommandServices,
  worker: LazyWorker,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>()
  const stubborn: string[] = []
  for (const name of await readdir(store.root.mountsDir)) {
    const path = join(store.root.mountsDir, name)
    try {
      sizes.set(path, await treeSize(path, kernel, signal))
    } catch (error) {
      if (!(error instanceof KernelError)) throw error
      if (error.code === 'EACCES') stubborn.push(path)
      // Emptied just now by a step that ignores the cache.
      else if (error.code !== 'ENOENT') throw error
    }
  }
  if (stubborn.length === 0) return sizes
  const measured = await (await worker.get(signal)).treeSizes(stubborn, signal)
  for (const [i, path] of stubborn.entries()) sizes.set(path, measured[i] ?? 0)
  return sizes
}

/** For trees of sub-ids, which only a worker may read and remove; started when something needs it. */
export function workerForTrees({ store }: CommandServices): LazyWorker {
  return new LazyWorker(
    async (signal) => (await import('../worker/start-worker.ts')).startWorker({ store }, signal),
    () => {},
  )
}
