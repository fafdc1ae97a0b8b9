import { isUtf8 } from 'node:buffer'
import { chmod, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { NodeId, RunMount, RunNode } from '../../frontend/index.ts'
import { BuildError } from '../errors.ts'
import type { LayerStack } from '../solver/layer.ts'
import type { SandboxMount } from '../worker/protocol.ts'
import { type CacheMount, type CacheMounts, cacheName } from './cache-mounts.ts'
import { idsOf } from './key-mounts.ts'
import {
  beginningOf,
  CACHED_FILE,
  isFileBeginning,
  type MountSource,
  sourceOf,
} from './mountable.ts'
import type { PreparedMounts } from './run.ts'
import type { Secrets } from './secrets.ts'

/** What a mount was made of, for a later shell in the step: the layers of a bind, the beginning of a cache. */
export interface MountOrigin {
  readonly stack?: LayerStack
  /** MountedLayers.source */
  readonly source?: string
  readonly initial?: string
}

export interface MountParts {
  readonly sources: ReadonlyMap<NodeId, MountSource>
  readonly secrets: Pick<Secrets, 'value' | 'agentSocket'>
  readonly cacheMounts: Pick<CacheMounts, 'acquire'>
  /** Makes `<directory>/fs` as one empty directory with these ids and mode. */
  readonly makeOwned: (
    directory: string,
    owner: { readonly mode: number; readonly uid: number; readonly gid: number },
    signal: AbortSignal,
  ) => Promise<void>
}

/** What of a step its mounts depend on. */
export interface StepMounts extends Pick<RunNode, 'mounts' | 'scripts' | 'env'> {
  readonly origin: Pick<RunNode['origin'], 'ignoreCache'>
}

/** Features row D26: where heredoc scripts of a RUN lie. */
const SCRIPT_DIRECTORY = '/dev/pipes'

/**
 * Everything that a step mounts, ready to be given to the sandbox, in the order written. Disposing ends the use of
 * cache mounts. Errors: `secret-missing`, `ssh-missing`.
 */
export async function prepareMounts(
  node: StepMounts,
  parts: MountParts,
  signal: AbortSignal,
): Promise<PreparedMounts & { readonly origins: MountOrigins } & AsyncDisposable> {
  const mounts: SandboxMount[] = []
  const origins = new Map<RunMount, MountOrigin>()
  const env: string[] = []
  const held: AsyncDisposable[] = []
  const caches = new Map<string, CacheMount>()
  const release = async (): Promise<void> => {
    await Promise.all(held.map((lock) => lock[Symbol.asyncDispose]()))
  }
  try {
    for (const ordered of await inLockOrder(node.mounts, parts.sources, signal)) {
      await prepareMount(ordered, { parts, mounts, env, held, node, caches, origins }, signal)
    }
  } catch (error) {
    await release()
    throw error
  }
  for (const script of node.scripts) {
    const content = Buffer.from(script.content)
    mounts.push({
      type: 'file',
      target: `${SCRIPT_DIRECTORY}/${script.name}`,
      content,
      mode: 0o755,
      uid: 0,
      gid: 0,
    })
  }
  return { mounts: inWrittenOrder(mounts, node), env, origins, [Symbol.asyncDispose]: release }
}

export type MountOrigins = ReadonlyMap<RunMount, MountOrigin>

interface Preparation {
  readonly parts: MountParts
  readonly mounts: SandboxMount[]
  readonly env: string[]
  readonly held: AsyncDisposable[]
  /** A step that mounts one cache at two places must not wait for its own lock. */
  readonly caches: Map<string, CacheMount>
  readonly node: StepMounts
  readonly origins: Map<RunMount, MountOrigin>
}

async function prepareMount(
  { mount, initial }: OrderedMount,
  to: Preparation,
  signal: AbortSignal,
): Promise<void> {
  switch (mount.type) {
    case 'bind': {
      const { target, isReadonly } = mount
      const { stack, directories, source } = await sourceOf(to.parts.sources, mount.from).layers(
        mount.source,
        signal,
      )
      to.origins.set(mount, { stack, source })
      to.mounts.push({ type: 'layers', target, layers: directories, source, isReadonly })
      return
    }
    case 'cache':
      to.mounts.push(await openCache(mount, initial, to, signal))
      return
    case 'tmpfs':
      to.mounts.push(mount)
      return
    case 'secret':
      await addSecret(mount, to)
      return
    case 'ssh':
      await addAgent(mount, to)
      return
    default:
      mount satisfies never
  }
}

async function openCache(
  mount: Extract<RunMount, { type: 'cache' }>,
  initial: string | undefined,
  { parts, held, caches, node, origins }: Preparation,
  signal: AbortSignal,
): Promise<SandboxMount> {
  const { cacheId, sharing, from, source, mode, uid, gid, target, isReadonly } = mount
  const origin = from === undefined ? undefined : sourceOf(parts.sources, from)
  if (initial !== undefined) origins.set(mount, { initial })
  // Without a stage to begin with, the source is a directory that an earlier step left in the cache.
  const inside = origin === undefined ? source : isFileBeginning(initial) ? CACHED_FILE : '/'
  const name = cacheName({ cacheId, initial })
  const own = caches.get(name)
  if (own !== undefined) {
    return { type: 'directory', target, directory: own.directory, source: inside, isReadonly }
  }
  const cache = await parts.cacheMounts.acquire(
    {
      cacheId,
      sharing,
      initial,
      isFresh: node.origin.ignoreCache,
      create: async (directory, inner) => {
        // What a creation left that did not come to its end.
        await rm(directory, { recursive: true, force: true })
        if (origin !== undefined) {
          await origin.writeTo(source, directory, inner)
        } else if (uid === 0 && gid === 0) {
          await makeDirectory(directory, mode)
        } else {
          await parts.makeOwned(directory, { mode, uid, gid }, inner)
        }
      },
    },
    signal,
  )
  held.push(cache)
  caches.set(name, cache)
  return { type: 'directory', target, directory: cache.directory, source: inside, isReadonly }
}

/** `fs` appears with its final mode: it is made last, by rename-free mkdir in a directory nobody looks at yet. */
async function makeDirectory(directory: string, mode: number): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const path = join(directory, 'fs')
  await mkdir(path)
  await chmod(path, mode)
}

async function addSecret(
  mount: Extract<RunMount, { type: 'secret' }>,
  { parts, mounts, env }: Preparation,
): Promise<void> {
  const content = await parts.secrets.value(mount.secretId)
  if (content === undefined) {
    // BuildKit sets the variable of a secret that may be missing, to nothing.
    if (!mount.isRequired && mount.env !== undefined) {
      env.push(`${mount.env}=`)
    }
    if (mount.isRequired) {
      throw new BuildError('secret-missing', `could not mount secret ${mount.secretId}: not found`)
    }
    return
  }
  if (mount.target !== undefined) {
    mounts.push({ ...idsOf(mount), type: 'file', target: mount.target, content })
  }
  if (mount.env !== undefined) {
    env.push(`${mount.env}=${textOf(content, mount)}`)
  }
}

/** What can stand in a variable; as a file a secret may be anything. */
function textOf(
  content: Uint8Array,
  { secretId, env }: Extract<RunMount, { type: 'secret' }>,
): string {
  if (!isUtf8(content) || content.includes(0)) {
    throw new BuildError(
      'unsupported',
      `could not give secret ${secretId} as variable ${env}: it is no text (UTF-8 without NUL); mount it as a file`,
    )
  }
  return Buffer.from(content).toString()
}

async function addAgent(
  mount: Extract<RunMount, { type: 'ssh' }>,
  { parts, mounts, env, node }: Preparation,
): Promise<void> {
  const socket = await parts.secrets.agentSocket(mount.sshId)
  if (socket === undefined) {
    if (mount.isRequired) {
      throw new BuildError(
        'ssh-missing',
        `could not mount ssh agent ${mount.sshId}: not forwarded; give it with --ssh ${mount.sshId}, or --ssh ${mount.sshId}=PATH with a socket or a key`,
      )
    }
    return
  }
  mounts.push({ ...idsOf(mount), type: 'socket', target: mount.target, socket })
  const isSet = [...node.env, ...env].some((pair) => pair.startsWith('SSH_AUTH_SOCK='))
  if (!isSet) {
    env.push(`SSH_AUTH_SOCK=${mount.target}`)
  }
}

interface OrderedMount {
  readonly mount: RunMount
  /** Of a cache: see `beginningOf`. */
  readonly initial: string | undefined
}

/** Cache locks are taken in one order by everybody, or two steps could wait for each other's. */
async function inLockOrder(
  mounts: readonly RunMount[],
  sources: MountParts['sources'],
  signal: AbortSignal,
): Promise<OrderedMount[]> {
  const ranked = await Promise.all(
    mounts.map(async (mount) => {
      if (mount.type !== 'cache') return { mount, initial: undefined, rank: '' }
      const initial = await beginningOf(mount, sources, signal)
      return { mount, initial, rank: cacheName({ cacheId: mount.cacheId, initial }) }
    }),
  )
  return ranked.sort((a, b) => (a.rank < b.rank ? -1 : a.rank > b.rank ? 1 : 0))
}

/** Mounts in the order of the instruction: a later one may lie below an earlier one. */
function inWrittenOrder(mounts: readonly SandboxMount[], node: StepMounts): SandboxMount[] {
  const position = new Map(node.mounts.map((mount, index) => [mount.target, index]))
  const rank = (mount: SandboxMount): number => position.get(mount.target) ?? node.mounts.length
  return mounts.toSorted((a, b) => rank(a) - rank(b))
}
