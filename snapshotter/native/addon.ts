import { getSystemErrorName } from 'node:util'
import type { EntryColumns } from './entry-columns.ts'
import type { SkippedPart } from './kernel-types.ts'
import { KernelError, type KernelErrorCode } from './kernel-error.ts'
import type { PackColumns } from './pack-columns.ts'

/** The addon's side of a cancellation; see `cancellable`. */
export interface Cancellation {
  cancel(): void
}

/** What `build/Release/tsbuild.node` exports. Arguments are not checked there: kernel.ts does. */
export interface Addon {
  readonly Cancellation: new () => Cancellation
  scanTree(
    root: string,
    withXattrs: boolean,
    entriesMax: number,
    cancellation: Cancellation,
  ): Promise<EntryColumns | null>
  listDirectories(
    root: string,
    paths: string,
    withXattrs: boolean,
    entriesMax: number,
    cancellation: Cancellation,
  ): Promise<{
    entries: EntryColumns
    counts: Uint32Array
    rests: readonly (number | Uint8Array)[]
  }>
  listChildren(
    root: string,
    path: string,
    names: Uint8Array,
    withXattrs: boolean,
    cancellation: Cancellation,
  ): Promise<EntryColumns>
  treeState(
    root: string,
    path: string,
    skips: string,
    cancellation: Cancellation,
  ): Promise<{ state: string; newestSec: number }>
  hashFiles(root: string, paths: string, cancellation: Cancellation): Promise<(string | Error)[]>
  createPacker(
    output: string,
    compression: string,
    level: number,
    cancellation: Cancellation,
    drained: () => void,
    contents: string,
    partsTable: string,
  ): AddonPacker
  createMaker(
    root: string,
    whiteouts: string,
    userXattr: boolean,
    withOwners: boolean,
    movesFiles: boolean,
    cancellation: Cancellation,
  ): AddonMaker
  readLayer(options: AddonReadOptions, cancellation: Cancellation): Promise<AddonReadResult>
  recompress(
    blob: string,
    output: string,
    compression: string,
    level: number,
    uncompressedSizeMax: number,
    cancellation: Cancellation,
  ): Promise<Omit<AddonPackResult, 'fileDigests'>>
  removeTree(path: string, cancellation: Cancellation): Promise<void>
  syncFilesystem(path: string, cancellation: Cancellation): Promise<void>
  tryLock(fd: number, isExclusive: boolean): boolean
  unlock(fd: number): void
  openInRoot(root: string, path: string): number
  getXattr(path: string, name: string): Uint8Array | undefined
  setXattr(path: string, name: string, value: Uint8Array): void
  spreadChildren(path: string): boolean
  makeNode(path: string, type: number, mode: number, major: number, minor: number): void
}

export interface AddonPacker {
  /** False when the queue is full: `drained` is called when there is room again. */
  add(batch: PackColumns): boolean
  end(): void
  readonly done: Promise<AddonPackResult>
}

export interface AddonMaker {
  add(batch: PackColumns): Promise<void>
  finish(): Promise<SkippedPart[]>
}

interface AddonPackResult {
  readonly diffId: string
  readonly uncompressedSizeBytes: number
  /** Empty without an output file. */
  readonly digest: string
  readonly sizeBytes: number
  readonly takenOverBytes: number
  readonly engine: string
  readonly fileDigests: string
}

interface AddonReadOptions {
  readonly blob: string
  /** Empty, and 0: the blob is whole. */
  readonly arrivingPath: string
  readonly arrivingSize: number
  readonly compression: string
  readonly digestsBlob: boolean
  readonly extractTo: string
  readonly listsEntries: boolean
  /** Empty: no table of contents. */
  readonly contents: string
  readonly whiteouts: string
  readonly userXattr: boolean
  readonly withOwners: boolean
  readonly opensAll: boolean
  readonly contentSizeMax: number
  readonly entryCountMax: number
}

interface AddonReadResult {
  /** Empty when it was not wanted. */
  readonly digest: string
  readonly sizeBytes: number
  readonly diffId: string
  readonly uncompressedSizeBytes: number
  readonly entries: EntryColumns
  readonly implied: string
  readonly isPlain: boolean
  readonly newestFileSec?: number
  readonly skipped: readonly SkippedPart[]
}

/** What the addon's own errors carry; see failureToJs in src/job.cc. */
interface AddonFailure extends Error {
  readonly syscall: string
  readonly errno: number
  readonly code: string
  readonly path: string
}

function isAddonFailure(error: unknown): error is AddonFailure {
  const isFinished = error instanceof KernelError
  return (
    error instanceof Error &&
    !isFinished &&
    'syscall' in error &&
    'errno' in error &&
    'code' in error
  )
}

/** The KernelError of what the addon threw; `what` completes "could not". Anything else is passed through. */
export function toKernelError(error: unknown, what: string): unknown {
  if (!isAddonFailure(error)) {
    return error
  }
  const code = error.code === '' ? getSystemErrorName(-error.errno) : error.code
  // Where the entry of an archive is not known, only the archive is named.
  const about = error.path === '' ? what.replace(/, at$/, '') : `${what} '${error.path}'`
  const how = error.syscall === '' ? '' : ` (${error.syscall}: ${code})`
  return new KernelError(code as KernelErrorCode, `could not ${about}: ${error.message}${how}`, {
    syscall: error.syscall === '' ? undefined : error.syscall,
    errno: error.errno,
    path: error.path === '' ? undefined : error.path,
    cause: error,
  })
}

/** Runs an asynchronous call of the addon until it settles; aborting `signal` ends it early with the signal's reason. */
export async function cancellable<T>(
  addon: Addon,
  signal: AbortSignal,
  what: string,
  run: (cancellation: Cancellation) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted()
  const cancellation = new addon.Cancellation()
  const cancel = (): void => cancellation.cancel()
  signal.addEventListener('abort', cancel, { once: true })
  try {
    return await run(cancellation)
  } catch (error) {
    if (signal.aborted && isAddonFailure(error) && error.code === 'aborted') {
      throw signal.reason
    }
    throw toKernelError(error, what)
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}
