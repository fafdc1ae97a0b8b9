import type { Compression, DiffId, Digest } from '../../registry-client/oci/index.ts'
import type { LayerEntry, LayerPath } from '../layer/entry.ts'
import type { PackColumns } from './pack-columns.ts'

/**
 * What the native addon offers, typed. `kernel.ts` is the only importer of the `.node` file; it validates and converts.
 * Every function that can block runs on threads of the addon's own and takes a signal; failures are `KernelError`
 * { syscall, errno, code, path }. Paths inside trees are resolved by descriptor below the root (openat2
 * RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS for parents), never as strings.
 */
export interface ScannedEntry {
  /** Relative to the scan's root, as in LayerPath. */
  readonly path: LayerPath
  readonly type: 'dir' | 'file' | 'symlink' | 'char' | 'block' | 'fifo' | 'socket'
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly sizeBytes: number
  readonly mtimeSec: number
  readonly mtimeNsec: number
  readonly ctimeSec: number
  readonly ctimeNsec: number
  readonly dev: number
  readonly ino: number
  readonly nlink: number
  /** Symlinks only. */
  readonly target?: string
  /** Devices only. */
  readonly major?: number
  readonly minor?: number
  /** Present when asked for and not empty; sorted by name. */
  readonly xattrs?: readonly { readonly name: string; readonly value: Uint8Array }[]
}

export interface ListOptions {
  /** Host path of the tree. */
  readonly root: string
  readonly withXattrs: boolean
  readonly signal: AbortSignal
}

/** What is in a directory. */
export interface DirectoryListing {
  /** Sorted by name (byte order). */
  readonly entries: readonly ScannedEntry[]
  /** Names of the children after them, a NUL after each, for `listChildren`; undefined: those were all. */
  readonly rest: Uint8Array | undefined
}

/** Where the bytes of a file entry come from. */
export type PackSource =
  | {
      readonly kind: 'path' /** Host directory. */
      readonly root: string /** Path below it, opened by descriptor, no symlink followed. */
      readonly path: LayerPath
    }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }

/**
 * An entry to write into a layer tar. File digests are computed while packing (the bytes that are packed are the truth);
 * when `expect` is given and the file's bytes differ from it, packing fails with code `content-changed` naming the file.
 */
export type PackEntry =
  | Exclude<LayerEntry, { type: 'file' }>
  | (Omit<Extract<LayerEntry, { type: 'file' }>, 'digest'> & {
      readonly source: PackSource
      readonly expect?: Digest
    })

/** Entries to pack: as they are, or as an `EntryFile` holds them. */
export type PackPage = readonly PackEntry[] | PackColumns

export interface PackOptions {
  /** Blob file to create (O_EXCL); undefined: only the diffId is wanted. */
  readonly output: string | undefined
  readonly compression: Compression
  /** gzip 0-9, zstd 1-22; undefined: the default. */
  readonly level: number | undefined
  /**
   * File to create (O_EXCL) for the table of contents; then entries have to come in its order, and are not held.
   * Undefined: `finish` gives the entries.
   */
  readonly contents?: string | undefined
  /**
   * `StateRoot.partsTable`: where what was compressed before, by any process, is found again. Undefined: only what this
   * process compressed. The blob is the same either way.
   */
  readonly partsTable?: string | undefined
  readonly signal: AbortSignal
}

export interface PackResult {
  readonly diffId: DiffId
  readonly uncompressedSizeBytes: number
  /** Of `output`; for `uncompressed` equal to the diffId. Absent without output. */
  readonly digest: Digest | undefined
  readonly sizeBytes: number | undefined
  /** Of the uncompressed bytes, those that had been compressed before, for another layer or this one. */
  readonly takenOverBytes: number
  /** e.g. `zlib-1.3.1/6`, `isal-2.31/1`, `zstd-1.5.4/3`: recorded with the blob. */
  readonly engine: string
}

/** Entries are added in the order of the tar; `add` resolves when the queue has room (bounded memory). */
export interface LayerPacker extends AsyncDisposable {
  add(entries: PackPage): Promise<void>
  /** `entries`: as packed, with digests; none when there is a table of contents. */
  finish(): Promise<PackResult & { readonly entries: readonly LayerEntry[] }>
}

export interface MakeOptions {
  /** Directory to fill: exists, and is empty, unless whiteouts are applied to it. */
  readonly root: string
  /** As in ReadLayerOptions. */
  readonly whiteouts: 'overlay' | 'apply' | 'plain'
  /** As in ReadLayerOptions. */
  readonly userXattr: boolean
  /** As in ReadLayerOptions, but devices are made by whoever may. */
  readonly ownership: 'owners' | 'none'
  /**
   * `moved`: sources are files of the same filesystem in directories that nobody else writes to. Each leaves its place, with
   * its owner and attributes, and replaces what is in the way in one step; symlinks above it are followed inside its root.
   * Undefined: the bytes are shared or copied.
   */
  readonly files?: 'moved' | undefined
  readonly signal: AbortSignal
}

/**
 * Makes the directory of a layer of the entries that its tar is packed of: equal to what `readLayer` makes of that tar, with the
 * bytes shared or copied from where they lie (reflink, copy_file_range). `expect` is not looked at: whoever packs the directory
 * compares it. Fails with `content-changed` when a file is no longer what its entry says.
 */
export interface LayerMaker extends AsyncDisposable {
  /** In the order of the tar. */
  add(entries: readonly PackEntry[]): Promise<void>
  /** Gives directories their times. What could not be made is told as by `readLayer`. */
  finish(): Promise<readonly SkippedPart[]>
}

/** What could not be made: a device (`what` is `device`) or an extended attribute (its name). */
export interface SkippedPart {
  readonly path: LayerPath
  readonly what: string
}

/** A blob file that is being written, by this or another process. */
export interface ArrivingBlob {
  /** Where it lies until it is whole and renamed. */
  readonly path: string
  /** How long it will be; reading waits for that many bytes, or to be cancelled. */
  readonly sizeBytes: number
}

export interface ReadLayerOptions {
  /** Blob file. */
  readonly blob: string
  /** Undefined: `blob` is whole. */
  readonly arriving?: ArrivingBlob | undefined
  /** Told by magic bytes when `auto`; archives of ADD also allow bzip2 and xz. */
  readonly compression: Compression | 'auto'
  /** Directory to unpack into (must exist, may hold entries); undefined: only the contents are read. */
  readonly extractTo: string | undefined
  /**
   * What becomes of the entries: a list in the order of the tar, which is held in memory; a table of contents (src/layer-table.h
   * has the rules) in a file to create (O_EXCL), in bounded memory; or nothing.
   */
  readonly entries: 'list' | 'none' | { readonly contents: string }
  /**
   * `overlay`: whiteouts become what overlayfs understands (char 0/0, `trusted.` or `user.overlay.opaque`).
   * `apply`: whiteouts remove what is in the directory already (copy driver).
   * `plain`: no whiteout meaning (ADD of an archive): `.wh.` names are ordinary files.
   */
  readonly whiteouts: 'overlay' | 'apply' | 'plain'
  /** overlayfs attributes in the `user.` namespace (mounts made in a user namespace). */
  readonly userXattr: boolean
  /** `owners`: chown, mknod, all xattrs. `none`: as an ordinary user without namespaces: modes only, no devices. */
  readonly ownership: 'owners' | 'none'
  /** Whoever unpacks may read all files and change all directories afterwards, whatever their modes are. Default: false. */
  readonly opensAll?: boolean | undefined
  readonly limits: { readonly uncompressedSizeBytesMax: number; readonly entryCountMax: number }
  readonly signal: AbortSignal
}

export interface ReadLayerResult {
  /** Undefined of an arriving blob: whoever writes it computes it. */
  readonly digest: Digest | undefined
  readonly sizeBytes: number
  readonly diffId: DiffId
  readonly uncompressedSizeBytes: number
  /** In tar order, later duplicates win when applied; empty unless a list was asked for. */
  readonly entries: readonly LayerEntry[]
  /** With a table of contents: directories that entries need and do not describe, sorted. */
  readonly implied: readonly LayerPath[]
  /**
   * With a table of contents: it is what unpacking the tar makes, whatever its order. Nothing is below a non-directory; what
   * is there several times is a directory each time, or never and no hard link can mean one of them.
   */
  readonly isPlain: boolean
  /** When the newest file was changed; undefined without a file. */
  readonly newestFileSec: number | undefined
  readonly skipped: readonly SkippedPart[]
}

export interface RecompressOptions {
  /** Blob file; its compression is told by its magic bytes. */
  readonly blob: string
  /** Blob file to create (O_EXCL). */
  readonly output: string
  readonly compression: Compression
  /** As in PackOptions. */
  readonly level: number | undefined
  readonly uncompressedSizeBytesMax: number
  readonly signal: AbortSignal
}

export interface TreeStateOptions {
  /** Host path of the tree. */
  readonly root: string
  /** Directory or file below it; '' = root. */
  readonly path: LayerPath
  /** Directories below `root` that count by their name alone. */
  readonly skips: readonly LayerPath[]
  readonly signal: AbortSignal
}

export interface Kernel {
  /**
   * Stats of the children of each of `paths` ('' = root), in the order asked; a directory that vanished gives an empty list.
   * Ends with the directory that brings them to `entriesMax` together: there may be fewer listings than paths, never none.
   */
  listDirectories(
    paths: readonly LayerPath[],
    options: ListOptions & { readonly entriesMax: number },
  ): Promise<DirectoryListing[]>
  /** Stats of some children of a directory; `names` is a part of `rest` of its listing. What vanished is left out. */
  listChildren(path: LayerPath, names: Uint8Array, options: ListOptions): Promise<ScannedEntry[]>
  /** The whole tree below root, without the root itself, sorted by path components (byte order), parents first. Stays on one filesystem. */
  scanTree(options: ListOptions): Promise<ScannedEntry[]>
  /** As `scanTree`; undefined when there are more than `entriesMax` entries. */
  scanSmallTree(
    options: ListOptions & { readonly entriesMax: number },
  ): Promise<ScannedEntry[] | undefined>
  /**
   * One digest of what stat(2) tells of everything at and below `path` (names, modes, ids, sizes, inodes, times): equal
   * while nothing was changed. No file is opened. `newestSec` is the latest ctime in it. Fails where something cannot be
   * looked at, vanishes meanwhile, or a symlink is in the way (ELOOP).
   */
  treeState(
    options: TreeStateOptions,
  ): Promise<{ readonly state: Digest; readonly newestSec: number }>
  /** sha256 of each regular file, several threads; an unreadable or vanished file gives its KernelError in place. */
  hashFiles(
    root: string,
    paths: readonly LayerPath[],
    signal: AbortSignal,
  ): Promise<(Digest | Error)[]>
  createPacker(options: PackOptions): LayerPacker
  createMaker(options: MakeOptions): LayerMaker
  /** Verifies nothing by itself: the caller compares digest and diffId. Refuses hostile archives (code `bad-archive`). */
  readLayer(options: ReadLayerOptions): Promise<ReadLayerResult>
  /** Writes the tar of a blob in another compression; its bytes stay. The caller compares the diffId. */
  recompress(options: RecompressOptions): Promise<PackResult>
  /** Removes a tree of any size, never following symlinks or crossing mounts; missing is fine. Makes directories writable when it has to. */
  removeTree(path: string, signal: AbortSignal): Promise<void>
  /** flock(2), non-blocking: false when somebody else holds it. */
  tryLock(fd: number, mode: 'shared' | 'exclusive'): boolean
  unlock(fd: number): void
  /** syncfs(2) of the filesystem that holds `path`. */
  syncFilesystem(path: string): Promise<void>
  /** Opens `path` below `root` for reading following symlinks inside root (openat2 RESOLVE_IN_ROOT), regular files only; the fd is the caller's. */
  openInRoot(root: string, path: string): number
  getXattr(path: string, name: string): Uint8Array | undefined
  setXattr(path: string, name: string, value: Uint8Array): void
  /**
   * Asks the filesystem to place each directory that is made in `path` in a part of the disk of its own, as ext4 does in
   * the root directory (chattr(1), `T`). A hint: false where there is no such thing. Fails only when `path` is no directory.
   */
  spreadChildren(path: string): boolean
  makeNode(
    path: string,
    type: 'char' | 'block' | 'fifo',
    options: { mode: number; major: number; minor: number },
  ): void
}
