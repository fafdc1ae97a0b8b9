import type { Digest } from '../../registry-client/oci/index.ts'
import type { LayerPath, PackSource } from '../../snapshotter/index.ts'
import type { FileStat } from '../context/stat-block.ts'

/** Extended attribute of a tree's entry. */
export interface TreeXattr {
  readonly name: string
  readonly value: Uint8Array
}

interface TreeMetadata {
  readonly path: LayerPath
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeSec: number
  /** Sorted by name; only those that belong into a layer (features rows O22, O23). */
  readonly xattrs?: readonly TreeXattr[]
}

/** Where a tree has the bytes of a file. */
export interface TreePlace {
  /** Which part of the tree, such as a layer; '' where there is one. */
  readonly root: string
  readonly path: LayerPath
}

export type TreeFile = TreeMetadata & {
  readonly type: 'file'
  readonly sizeBytes: number
  /** Equal for the names of one file (hardlinks), undefined when it has one name. */
  readonly linkGroup: string | undefined
  /** What its tree needs to tell its digest, when there is such a thing. */
  readonly stat?: FileStat
  /** Where its tree knows it already. */
  readonly digest?: Digest
  /** Undefined: at its path. */
  readonly place?: TreePlace
}

/** One path of a tree, without the bytes of files. Symlinks have mode 0777. */
export type TreeEntry =
  | (TreeMetadata & { readonly type: 'dir' })
  | TreeFile
  | (TreeMetadata & { readonly type: 'symlink'; readonly target: string })
  | (TreeMetadata & {
      readonly type: 'char' | 'block'
      readonly major: number
      readonly minor: number
    })
  | (TreeMetadata & { readonly type: 'fifo' })

export function placeOf({ path, place }: TreeFile): TreePlace {
  return place ?? { root: '', path }
}

/** The names of a tree: enough to say where a path leads. Also the view of the filesystem that a COPY writes to. */
export interface TreeView {
  /** The entry at exactly `path`; no symlink is followed, not even in the parents. '' is the root, always a directory. */
  lookup(path: LayerPath): Promise<TreeEntry | undefined>
  /** Entries right below a directory, sorted by name; empty when `path` is no directory. */
  list(path: LayerPath): Promise<readonly TreeEntry[]>
}

/**
 * What COPY and ADD read from: a build context, the filesystem of a stage or image, one downloaded file. Paths are
 * relative and clean. Implementations: `builder/context/directory-tree.ts`, `single-file-tree.ts`, `copy-layer-tree.ts`.
 */
export interface SourceTree extends TreeView {
  /** How messages call it: `the build context`, `stage build`. */
  readonly description: string
  /**
   * Names the contents of the whole tree where that is surer than looking at them: the commit of a checkout, whose
   * `.git` is never the same twice (features row K9).
   */
  readonly identity?: string
  /** What no step of the build names is missing, as BuildKit does not send it: of directories of the host (features row C1). */
  readonly isPartial?: boolean
  /** What is below a directory, parents first and sorted by components, in pages. */
  walk(path: LayerPath): AsyncIterable<readonly TreeEntry[]>
  /**
   * Names what is at `path` and below it, for trees that can tell without reading it that it is what it was in an earlier
   * build: equal names, equal contents. Undefined when that is not known; the names mean nothing on other machines.
   */
  stateOf?(path: LayerPath): Promise<Digest | undefined>
  /** sha256 of files of this tree, in the order asked. Fails when one cannot be read. */
  fileDigests(files: readonly TreeFile[]): Promise<readonly Digest[]>
  /** Where the packer finds the bytes of a file. */
  source(place: TreePlace): PackSource
  /** Why `path` may be missing, for messages: `excluded by .dockerignore`. */
  missingReason?(path: LayerPath): string | undefined
}
