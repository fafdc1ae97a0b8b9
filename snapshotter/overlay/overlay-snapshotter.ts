import { chmodSync, chownSync, mkdirSync, mkdtempSync, renameSync } from 'node:fs'
import { basename, join } from 'node:path'
import { OverlayDiff, toPackEntry } from '../layer/diff.ts'
import { makePlace } from '../layer/make-place.ts'
import { checkParents } from '../layer/parents.ts'
import { walkWholeTree } from '../layer/walk-tree.ts'
import { EntryFile } from '../native/entry-file.ts'
import type { Kernel, PackEntry } from '../native/kernel-types.ts'
import type {
  ActiveSnapshot,
  CommittedSnapshot,
  LayerDirectory,
  RootMount,
  Snapshotter,
} from '../snapshotter.ts'
import { DisposableScope } from '../store/scope.ts'
import { amendDirectories, type AmendOptions } from './amend-directories.ts'
import { dropUnchanged } from './drop-unchanged.ts'

export interface OverlaySnapshotterOptions {
  readonly kernel: Pick<
    Kernel,
    | 'scanSmallTree'
    | 'listDirectories'
    | 'listChildren'
    | 'removeTree'
    | 'getXattr'
    | 'spreadChildren'
    | 'hashFiles'
  >
  /** For snapshots in use; on the filesystem of the layer directories, so that a commit is a rename. */
  readonly workDir: string
  /** Mounts are made in a user namespace: overlayfs's attributes are `user.overlay.*`. */
  readonly userXattr: boolean
}

/**
 * Snapshots as overlay mounts: nothing is copied, the upper directory of a step becomes its layer. The mount is the
 * sandbox's work, with `redirect_dir`, `metacopy` and `index` off (the first two by `userxattr` alone where that is set: the
 * kernel refuses the combination) and each lower directory given to fsconfig(2) on its own
 * (`lowerdir+`), because mount(2) takes one page of options.
 */
export class OverlaySnapshotter implements Snapshotter {
  readonly driver = 'overlay'
  readonly #options: OverlaySnapshotterOptions
  readonly #known: AmendOptions['known'] = new Map()

  constructor(options: OverlaySnapshotterOptions) {
    this.#options = options
  }

  async prepare(parents: readonly LayerDirectory[], signal: AbortSignal): Promise<ActiveSnapshot> {
    const { kernel, workDir, userXattr } = this.#options
    const top = checkParents(parents).at(-1)
    signal.throwIfAborted()
    // See openStore.
    kernel.spreadChildren(workDir)
    // These calls take microseconds each; by the thread pool a step would wait ten times as long for them.
    const directory = makePlace(workDir, 'overlay-')
    await using scope = new DisposableScope()
    scope.defer(() => kernel.removeTree(directory, new AbortController().signal))
    const upperDir = join(directory, 'fs')
    const overlayWorkDir = join(directory, 'work')
    mkdirSync(overlayWorkDir)
    // The upper root is what a process sees as `/`: it starts as the root below it.
    if (top !== undefined) chownSync(upperDir, top.uid, top.gid)
    chmodSync(upperDir, top === undefined ? 0o755 : top.mode & 0o7777)
    const lowerDirs = topmostFirst(parents.map(({ path }) => join(path, 'fs')))
    const amendments = join(directory, 'directories')
    const known = { ...this.#options, known: this.#known }
    if (await amendDirectories(parents, amendments, known)) lowerDirs.unshift(amendments)
    scope.release()
    // overlayfs wants a lower directory; over nothing, the upper one is all there is.
    const root: RootMount =
      lowerDirs.length === 0
        ? { type: 'bind', dir: upperDir }
        : { type: 'overlay', lowerDirs, upperDir, workDir: overlayWorkDir, userXattr }
    return new OverlaySnapshot(this.#options, directory, root)
  }
}

class OverlaySnapshot implements ActiveSnapshot {
  readonly root: RootMount
  readonly #options: OverlaySnapshotterOptions
  readonly #directory: string
  #isEnded = false

  constructor(options: OverlaySnapshotterOptions, directory: string, root: RootMount) {
    this.#options = options
    this.#directory = directory
    this.root = root
  }

  async commit(signal: AbortSignal, directory?: LayerDirectory): Promise<CommittedSnapshot> {
    if (this.#isEnded) throw new TypeError('a snapshot is committed or disposed once')
    const { kernel, workDir } = this.#options
    const target = directory ?? { path: mkdtempSync(join(workDir, 'layer-')) }
    await using scope = new DisposableScope()
    if (directory !== undefined) mkdirSync(directory.path, { mode: 0o700 })
    scope.defer(() => kernel.removeTree(target.path, new AbortController().signal))
    const root = join(target.path, 'fs')
    renameSync(join(this.#directory, 'fs'), root)
    const changes = await EntryFile.of(
      () => join(workDir, `changes-${basename(target.path)}`),
      this.#changes(root, signal),
    )
    scope.use(changes)
    await this[Symbol.asyncDispose]()
    scope.release()
    return { directory: target, changes }
  }

  async *#changes(root: string, signal: AbortSignal): AsyncGenerator<readonly PackEntry[]> {
    const scanned = walkWholeTree(root, this.#options.kernel, signal)
    const lowerDirs = this.root.type === 'overlay' ? this.root.lowerDirs : []
    const places = { ...this.#options, upperDir: root, lowerDirs }
    const diff = new OverlayDiff()
    for await (const page of dropUnchanged(scanned, places, signal)) {
      yield diff.entries(page).map((entry) => toPackEntry(entry, root))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isEnded) return
    this.#isEnded = true
    // Cleaning up is not stopped by the signal that may have ended the step.
    await this.#options.kernel.removeTree(this.#directory, new AbortController().signal)
  }
}

/**
 * Each directory once: overlayfs refuses to have one twice (ELOOP). Of a layer that is in the stack several times, all but
 * the topmost change nothing: that one says everything about its paths again.
 */
function topmostFirst(bottomFirst: readonly string[]): string[] {
  return [...new Set([...bottomFirst].reverse())]
}
