import type { LayerEntry } from './layer/entry.ts'
import type { EntryFile } from './native/entry-file.ts'

/** A layer that is unpacked on disk: one directory per diff (overlay form) as made by a driver. */
export interface LayerDirectory {
  /** Host path of the layer's own directory; the diff is in `fs/` below it. */
  readonly path: string
}

/** How a sandbox gets at its root filesystem. Mounting is the sandbox's own work, in its own mount namespace. */
export type RootMount =
  | {
      readonly type: 'overlay'
      /** Top layer first, as overlayfs wants them. */
      readonly lowerDirs: readonly string[]
      readonly upperDir: string
      readonly workDir: string
      readonly userXattr: boolean
    }
  | { readonly type: 'bind'; readonly dir: string }

/**
 * Layers on disk and writable snapshots over them. Implementations: overlay/, copy/. Runs where the privileges are (the worker).
 * Contract suite: testing/snapshotter-suite.ts.
 */
export interface Snapshotter {
  readonly driver: 'overlay' | 'copy'
  /**
   * A writable snapshot over `parents` (bottom first; may be empty), for one step. Disposing it without `commit` removes it.
   * Errors: `snapshot-layer-missing`, `snapshot-too-many-layers`.
   */
  prepare(parents: readonly LayerDirectory[], signal: AbortSignal): Promise<ActiveSnapshot>
}

export interface ActiveSnapshot extends AsyncDisposable {
  readonly root: RootMount
  /**
   * Ends writing. The diff becomes a layer directory at once (children can be prepared over it) and packing may
   * then run in the background. `directory` must not exist, on the filesystem of the driver's `workDir`; without it
   * the layer stays below `workDir`. Errors: `diff-name-reserved`, `diff-not-plain`.
   */
  commit(signal: AbortSignal, directory?: LayerDirectory): Promise<CommittedSnapshot>
}

export interface CommittedSnapshot {
  readonly directory: LayerDirectory
  /**
   * The diff as entries to pack, sorted, for the caller to dispose; what they read is below `directory`. May hold opaque marks:
   * `expandOpaque` (layer/expand-opaque.ts) writes them as whiteouts, given the parents' tables of contents.
   */
  readonly changes: EntryFile
}

/** A layer entry whose file bytes are at `<directory>/fs/<path>`; the digest is not known yet. */
export type DiffEntry =
  | Exclude<LayerEntry, { type: 'file' }>
  | Omit<Extract<LayerEntry, { type: 'file' }>, 'digest'>
