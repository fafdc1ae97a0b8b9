import { chmod, chown, mkdir, mkdtemp, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { compareTrees } from '../layer/compare.ts'
import { toPackEntry } from '../layer/diff.ts'
import { checkParents } from '../layer/parents.ts'
import { EntryFile } from '../native/entry-file.ts'
import type { Kernel, ScannedEntry } from '../native/kernel-types.ts'
import type {
  ActiveSnapshot,
  CommittedSnapshot,
  DiffEntry,
  LayerDirectory,
  RootMount,
  Snapshotter,
} from '../snapshotter.ts'
import { DisposableScope } from '../store/scope.ts'
import { applyLayer } from './apply-layer.ts'
import { extractDiff } from './extract-diff.ts'
import type { Ownership } from './tree-files.ts'

export interface CopySnapshotterOptions {
  readonly kernel: Pick<
    Kernel,
    'scanTree' | 'removeTree' | 'createMaker' | 'setXattr' | 'makeNode' | 'spreadChildren'
  >
  /** For snapshots in use; on the filesystem of the layer directories, so that a commit moves files. */
  readonly workDir: string
  /** `none`: all files belong to the one user there is; layers then say root (0:0). */
  readonly ownership: Ownership
}

/** Change times advance by ticks of at most 10 ms (CONFIG_HZ=100): what is written within one looks unchanged. */
const TICK_MS = 20

/**
 * Snapshots as whole copies, for where nothing can be mounted (design.md, "Rootless is a ladder"): a step costs a copy of its
 * root filesystem, unless the last one left a tree that only lacks the layers since. Layer directories have the same form
 * as the overlay driver's, so either driver uses the other's.
 */
export class CopySnapshotter implements Snapshotter {
  readonly driver = 'copy'
  readonly #options: CopySnapshotterOptions
  #left: LeftTree | undefined

  constructor(options: CopySnapshotterOptions) {
    this.#options = options
  }

  async prepare(parents: readonly LayerDirectory[], signal: AbortSignal): Promise<ActiveSnapshot> {
    const { kernel, workDir, ownership } = this.#options
    const top = checkParents(parents).at(-1)
    const left = this.#take(parents)
    // See openStore.
    kernel.spreadChildren(workDir)
    const directory = left?.directory ?? (await mkdtemp(join(workDir, 'copy-')))
    await using scope = new DisposableScope()
    scope.defer(() => kernel.removeTree(directory, new AbortController().signal))
    const root = join(directory, 'fs')
    if (left === undefined) {
      await mkdir(root)
    } else {
      // What the last step's mounts put aside (sandbox-init/chroot.c).
      await kernel.removeTree(`${root}.aside`, signal)
    }
    for (const layer of parents.slice(left?.shown ?? 0)) {
      await applyLayer(layer, root, { kernel }, signal)
    }
    if (top !== undefined && ownership === 'owners') await chown(root, top.uid, top.gid)
    await chmod(root, top === undefined ? 0o755 : top.mode & 0o7777)
    const before = await kernel.scanTree({ root, withXattrs: true, signal })
    await untilNextTick(before, signal)
    scope.release()
    return new CopySnapshot({
      options: this.#options,
      directory,
      before,
      leave: (committed) =>
        this.#leave({ directory, parents: [...parents, committed], shown: parents.length }),
    })
  }

  /** The tree that the last step left, if it shows the lower part of these parents. */
  #take(parents: readonly LayerDirectory[]): LeftTree | undefined {
    const left = this.#left
    if (left === undefined || left.parents.length > parents.length) return undefined
    if (!left.parents.every(({ path }, index) => parents[index]?.path === path)) return undefined
    this.#left = undefined
    return left
  }

  /** One is kept; what it takes the place of was of a branch that went elsewhere. */
  async #leave(tree: LeftTree): Promise<void> {
    const old = this.#left
    this.#left = tree
    if (old !== undefined) {
      await this.#options.kernel.removeTree(old.directory, new AbortController().signal)
    }
  }
}

/** What a committed step leaves behind: the files that it changed were moved into its layer, which is to be applied anew. */
interface LeftTree {
  readonly directory: string
  /** With the committed layer as the last. */
  readonly parents: readonly LayerDirectory[]
  /** How many of them the tree shows whole. */
  readonly shown: number
}

interface CopySnapshotParts {
  readonly options: CopySnapshotterOptions
  readonly directory: string
  readonly before: readonly ScannedEntry[]
  /** Takes the directory over after the commit. */
  readonly leave: (committed: LayerDirectory) => Promise<void>
}

class CopySnapshot implements ActiveSnapshot {
  readonly root: RootMount
  readonly #parts: CopySnapshotParts
  #isEnded = false

  constructor(parts: CopySnapshotParts) {
    this.#parts = parts
    this.root = { type: 'bind', dir: join(parts.directory, 'fs') }
  }

  async commit(signal: AbortSignal, directory?: LayerDirectory): Promise<CommittedSnapshot> {
    if (this.#isEnded) throw new TypeError('a snapshot is committed or disposed once')
    const { options, before, leave } = this.#parts
    const { kernel, workDir, ownership } = options
    const source = join(this.#parts.directory, 'fs')
    const after = await kernel.scanTree({ root: source, withXattrs: true, signal })
    const found = compareTrees(before, after, { isSameDirectory: true })
    const target = directory ?? { path: await mkdtemp(join(workDir, 'layer-')) }
    await using scope = new DisposableScope()
    if (directory !== undefined) await mkdir(directory.path, { mode: 0o700 })
    scope.defer(() => kernel.removeTree(target.path, new AbortController().signal))
    const root = join(target.path, 'fs')
    await mkdir(root)
    await extractDiff(found, { source, target: root }, options)
    const { mode, uid, gid } = await stat(source)
    if (ownership === 'owners') await chown(root, uid, gid)
    await chmod(root, mode & 0o7777)
    const owned = ownership === 'owners' ? found : found.map(ownedByRoot)
    const changes = await EntryFile.of(
      () => join(workDir, `changes-${basename(target.path)}`),
      [owned.map((entry) => toPackEntry(entry, root))],
    )
    scope.use(changes)
    // Over nothing there is nothing to spare either.
    if (before.length === 0) await this[Symbol.asyncDispose]()
    else await leave(target)
    this.#isEnded = true
    scope.release()
    return { directory: target, changes }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isEnded) return
    this.#isEnded = true
    // Cleaning up is not stopped by the signal that may have ended the step.
    await this.#parts.options.kernel.removeTree(this.#parts.directory, new AbortController().signal)
  }
}

function ownedByRoot(entry: DiffEntry): DiffEntry {
  return entry.type === 'whiteout' || entry.type === 'opaque' ? entry : { ...entry, uid: 0, gid: 0 }
}

/** Waits until a change can be told from the copying that `scanned` shows; mostly that is long ago. */
async function untilNextTick(scanned: readonly ScannedEntry[], signal: AbortSignal): Promise<void> {
  let newestMs = 0
  for (const { ctimeSec, ctimeNsec } of scanned) {
    newestMs = Math.max(newestMs, ctimeSec * 1000 + ctimeNsec / 1e6)
  }
  if (Date.now() - newestMs < TICK_MS) await delay(TICK_MS, undefined, { signal })
}
