import { chmod, chown, rm } from 'node:fs/promises'
import { createConnection, createServer } from 'node:net'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { agentFilter } from './agent-filter.ts'
import type { SandboxMount } from './protocol.ts'

export interface SocketProxy extends AsyncDisposable {
  readonly path: string
}

/**
 * A socket of our own in front of an agent of the host, with only harmless requests let through: it gets the owner and mode that the mount asks for without touching
 * the host's, and stops answering when the run ends.
 */
export async function openSocketProxy(
  mount: Extract<SandboxMount, { type: 'socket' }>,
  directory: string,
  { recordsOwners }: { readonly recordsOwners: boolean },
): Promise<SocketProxy> {
  // Short: a socket's path has at most 107 bytes (unix(7)).
  const path = join(directory, randomBytes(6).toString('hex'))
  const connections = new Set<{ destroy: () => void }>()
  // Half-open: a side that has said all it has to say may still listen to the answer.
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = createConnection({ path: mount.socket, allowHalfOpen: true })
    connections.add(near).add(far)
    // Either side may vanish at any time; the other one is closed then, and there is nobody to tell.
    void Promise.allSettled([pipeline(near, agentFilter(), far), pipeline(far, near)]).then(() => {
      connections.delete(near)
      connections.delete(far)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  // Where there is a single id all processes of a step may use it anyway.
  if (!recordsOwners) await chown(path, mount.uid, mount.gid)
  await chmod(path, mount.mode)
  return {
    path,
    async [Symbol.asyncDispose]() {
      for (const connection of connections) connection.destroy()
      await new Promise((resolve) => server.close(resolve))
      await rm(path, { force: true })
    },
  }
}
