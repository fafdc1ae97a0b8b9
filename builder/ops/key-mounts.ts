import type { NodeId, RunMount, RunNode } from '../../frontend/index.ts'
import type { KeyMount } from '../solver/cache-key.ts'
import { beginningOf, type MountSource, sourceOf } from './mountable.ts'

/** The mounts of a step as its cache key sees them: in the order of their targets, as that is how they are mounted. */
export async function keyMounts(
  node: RunNode,
  sources: ReadonlyMap<NodeId, MountSource>,
  signal: AbortSignal,
): Promise<KeyMount[]> {
  const target = (mount: RunMount): string => mount.target ?? ''
  const mounts = node.mounts.toSorted((a, b) => (target(a) < target(b) ? -1 : 1))
  return await Promise.all(
    mounts.map(async (mount): Promise<KeyMount> => {
      switch (mount.type) {
        case 'bind': {
          const content = await sourceOf(sources, mount.from).content(mount.source, signal)
          return { type: mount.type, target: mount.target, isReadonly: mount.isReadonly, content }
        }
        case 'cache':
          return {
            type: mount.type,
            target: mount.target,
            isReadonly: mount.isReadonly,
            isDefault: mount.sharing === 'shared' && mount.cacheId.endsWith(`/${mount.target}`),
            initial: await beginningOf(mount, sources, signal),
          }
        case 'tmpfs':
          return {
            type: mount.type,
            target: mount.target,
            sizeBytes: mount.sizeBytes,
            isReadonly: mount.isReadonly,
          }
        case 'secret':
          return {
            ...idsOf(mount),
            type: mount.type,
            id: mount.secretId,
            target: mount.target,
            env: mount.env,
            isRequired: mount.isRequired,
          }
        case 'ssh':
          return {
            ...idsOf(mount),
            type: mount.type,
            id: mount.sshId,
            target: mount.target,
            env: undefined,
            isRequired: mount.isRequired,
          }
        default:
          return mount satisfies never
      }
    }),
  )
}

export function idsOf(mount: {
  readonly mode: number
  readonly uid: number
  readonly gid: number
}): {
  readonly mode: number
  readonly uid: number
  readonly gid: number
} {
  return { mode: mount.mode, uid: mount.uid, gid: mount.gid }
}
