import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Kernel } from '../native/kernel-types.ts'
import { BlobStore } from './blobs.ts'
import { Durability } from './durability.ts'
import { StoreError, errnoOf } from './errors.ts'
import { layerRecords } from './layer-record.ts'
import { type Hold, Lease, buryDeadLeases, listLeases, tryCloseGate } from './leases.ts'
import { LayerStore, OWNER_FILE } from './layers.ts'
import { NamedLocks } from './locks.ts'
import { type Checkpoint, RecordStore } from './records.ts'
import { type StateRoot, openStateRoot } from './root.ts'
import { DisposableScope } from './scope.ts'
import { emptyTrash, listTrash, moveToTrash } from './trash.ts'

/** What the store needs of the kernel. */
export type StoreKernel = Pick<
  Kernel,
  'tryLock' | 'unlock' | 'removeTree' | 'syncFilesystem' | 'spreadChildren'
>

export interface OpenStoreOptions {
  /** See `defaultStateRoot`. */
  readonly path: string
  readonly kernel: StoreKernel
  /** Tests pretend a restart of the machine with it. */
  readonly bootId?: string
  readonly checkpoint?: Checkpoint
  /** New layers are confirmed on disk by a process that outlives this one (`Durability.flushLater`). */
  readonly flushAfterwards?: boolean
}

/** The state root as one process uses it. Disposing it ends the lease; what it did not finish is gone then. */
export interface Store extends AsyncDisposable {
  readonly root: StateRoot
  readonly lease: Lease
  readonly blobs: BlobStore
  readonly layers: LayerStore
  readonly locks: NamedLocks
  readonly durability: Durability
  /** A record store in `directory` (absolute, below the root): cache records, image names. */
  records<T>(directory: string, read: (value: unknown) => T | undefined): RecordStore<T>
}

/**
 * Opens the state root and cleans up after processes that died: their unfinished things, and layer directories that they
 * never recorded. Costs a readdir when there are none. Errors: those of `openStateRoot`.
 */
export async function openStore(options: OpenStoreOptions, signal: AbortSignal): Promise<Store> {
  const { kernel, checkpoint } = options
  const root = await openStateRoot(options.path)
  const durability = await Durability.open(root, kernel, options.bootId)
  // An ext4 without journal looks at every inode freed lately of a block group before it gives one of them away: files made
  // where a layer was removed cost twenty times as much as elsewhere (docs/benchmarks.md).
  await writing(root, () => kernel.spreadChildren(join(root.layersDir, 'directories')))
  const holds = await writing(root, () => recoverOnce(root, kernel, durability))
  await using scope = new DisposableScope()
  const lease = scope.use(await writing(root, () => Lease.open(root, kernel, signal)))
  const locks = new NamedLocks(kernel, join(root.workDir, 'locks'))
  const extras = checkpoint === undefined ? {} : { checkpoint }
  const blobs = new BlobStore({ root, lease, ...extras })
  const layers = new LayerStore({ root, lease, locks, blobs, durability, ...extras })
  await cleanUpAfterTheDead({ root, kernel, lease, locks, durability }, holds, signal)
  scope.release()
  return {
    root,
    lease,
    blobs,
    layers,
    locks,
    durability,
    records: (directory, read) =>
      new RecordStore({
        directory,
        read,
        durability,
        temporaryPath: (kind) => lease.temporaryPath(kind),
        ...extras,
      }),
    [Symbol.asyncDispose]: async () => {
      const graves = await Promise.all(layers.unrecorded.map((path) => moveToTrash(root, path)))
      await lease[Symbol.asyncDispose]()
      const found = graves.filter((grave) => grave !== undefined)
      await emptyTrash(found, kernel, new AbortController().signal)
      if (options.flushAfterwards === true) await durability.flushLater()
    },
  }
}

/** The first things written to a root tell whether it can be written at all. */
async function writing<T>(root: StateRoot, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const errno = errnoOf(error) ?? ''
    if (!['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT'].includes(errno)) throw error
    const reason = error instanceof Error ? error.message : errno
    const message = `could not use state root ${root.path}: ${reason}`
    throw new StoreError('state-root-unusable', message, { cause: error })
  }
}

/** Once per boot, by the first process that finds no other: what the last boot left unconfirmed is set aside. */
async function recoverOnce(
  root: StateRoot,
  kernel: StoreKernel,
  durability: Durability,
): Promise<Hold[]> {
  if (!durability.needsRecovery()) return []
  await using gate = await tryCloseGate(root, kernel)
  if (gate === undefined) return []
  const holds = await buryDeadLeases(root, kernel)
  // Somebody alive writes blobs in this boot already (or in another machine's): theirs are not ours to judge.
  if ((await listLeases(root)).length === 0) await durability.recover()
  return holds
}

async function cleanUpAfterTheDead(
  context: {
    readonly root: StateRoot
    readonly kernel: StoreKernel
    readonly lease: Lease
    readonly locks: NamedLocks
    readonly durability: Durability
  },
  holdsOfTheDead: readonly Hold[],
  signal: AbortSignal,
): Promise<void> {
  const { root, kernel, locks } = context
  await buryUnrecorded(context, holdsOfTheDead)
  if ((await listLeases(root)).length > 1) {
    // Another process passing the gate looks after the dead the next time.
    await using gate = await tryCloseGate(root, kernel)
    if (gate !== undefined) {
      await buryUnrecorded(context, await buryDeadLeases(root, kernel))
      await locks.removeFree()
    }
  }
  await emptyTrash(await listTrash(root), kernel, signal)
}

/** Removes directories that a dead process allocated and did not record. */
async function buryUnrecorded(
  context: { readonly root: StateRoot; readonly lease: Lease; readonly durability: Durability },
  holds: readonly Hold[],
): Promise<void> {
  const records = layerRecords(context)
  for (const hold of holds) {
    if (!hold.startsWith('directory:')) continue
    const id = hold.slice('directory:'.length)
    if (!/^[0-9a-f]{24}$/.test(id)) continue
    const path = join(context.root.layersDir, 'directories', id)
    const owner = await readOwner(path)
    const record = owner === undefined ? undefined : await records.get(owner)
    if (record?.directory !== id) await moveToTrash(context.root, path)
  }
}

async function readOwner(directory: string): Promise<string | undefined> {
  try {
    const text = (await readFile(join(directory, OWNER_FILE), 'utf8')).trim()
    return /^[0-9a-f]{64}$/.test(text) ? text : undefined
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}
