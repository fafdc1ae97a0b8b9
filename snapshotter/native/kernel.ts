import { createRequire } from 'node:module'
import type { DiffId, Digest } from '../../registry-client/oci/index.ts'
import type { LayerPath } from '../layer/entry.ts'
import { type Addon, cancellable, toKernelError } from './addon.ts'
import { check, checkDevice, checkFd, checkHostPath, checkPath } from './check-arguments.ts'
import { decodeLayerEntries, decodeScanned, joinList, splitList } from './entry-columns.ts'
import { KernelError } from './kernel-error.ts'
import type {
  DirectoryListing,
  Kernel,
  LayerMaker,
  LayerPacker,
  ListOptions,
  MakeOptions,
  PackOptions,
  PackResult,
  ReadLayerOptions,
  ReadLayerResult,
  RecompressOptions,
  ScannedEntry,
  TreeStateOptions,
} from './kernel-types.ts'
import { NativeMaker } from './native-maker.ts'
import { NativePacker } from './native-packer.ts'
import { packageFile } from './package-file.ts'

const ADDON = 'snapshotter/native/build/Release/tsbuild.node'
const HOW_TO_BUILD =
  'build it with `npm run build:native` in the directory of the tsbuild package (needs a C++ compiler, make and python3)'

function findAddon(): string {
  const addon = packageFile(ADDON)
  if (addon !== undefined) return addon
  throw new KernelError(
    'addon-missing',
    `could not load the native addon: it is not built; ${HOW_TO_BUILD}`,
  )
}

let loaded: Addon | undefined

function addon(): Addon {
  if (loaded === undefined) {
    const path = findAddon()
    try {
      loaded = createRequire(import.meta.url)(path) as Addon
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new KernelError(
        'addon-missing',
        `could not load the native addon: ${reason}; ${HOW_TO_BUILD}`,
        { path, cause },
      )
    }
  }
  return loaded
}

/** Runs a short call of the addon on this thread. */
function callNow<T>(what: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw toKernelError(error, what)
  }
}

async function listDirectories(
  paths: readonly LayerPath[],
  options: ListOptions & { readonly entriesMax: number },
): Promise<DirectoryListing[]> {
  const { root, withXattrs, entriesMax, signal } = options
  checkHostPath(root, 'the root')
  check(Number.isSafeInteger(entriesMax) && entriesMax > 0, `${entriesMax} is no number of entries`)
  for (const path of paths) {
    checkPath(path, 'a directory')
  }
  const { entries, counts, rests } = await cancellable(
    addon(),
    signal,
    `list '${root}', at`,
    (cancellation) =>
      addon().listDirectories(root, joinList(paths), withXattrs, entriesMax, cancellation),
  )
  const all = decodeScanned(entries)
  let at = 0
  return Array.from(counts, (count, index) => {
    at += count
    const rest = rests[rests.indexOf(index) + 1]
    return {
      entries: all.slice(at - count, at),
      rest: rests.includes(index) && rest instanceof Uint8Array ? rest : undefined,
    }
  })
}

async function listChildren(
  path: LayerPath,
  names: Uint8Array,
  { root, withXattrs, signal }: ListOptions,
): Promise<ScannedEntry[]> {
  checkHostPath(root, 'the root')
  checkPath(path, 'the directory')
  const columns = await cancellable(addon(), signal, `list '${root}', at`, (cancellation) =>
    addon().listChildren(root, path, names, withXattrs, cancellation),
  )
  return decodeScanned(columns)
}

async function scanTree(options: ListOptions): Promise<ScannedEntry[]> {
  const entries = await scanSmallTree({ ...options, entriesMax: Number.MAX_SAFE_INTEGER })
  if (entries === undefined) throw new TypeError('a scan without a limit came to one')
  return entries
}

async function scanSmallTree({
  root,
  withXattrs,
  entriesMax,
  signal,
}: ListOptions & { readonly entriesMax: number }): Promise<ScannedEntry[] | undefined> {
  checkHostPath(root, 'the root')
  check(Number.isSafeInteger(entriesMax) && entriesMax > 0, `${entriesMax} is no number of entries`)
  const columns = await cancellable(addon(), signal, `scan '${root}', at`, (cancellation) =>
    addon().scanTree(root, withXattrs, entriesMax, cancellation),
  )
  return columns === null ? undefined : decodeScanned(columns)
}

async function treeState({
  root,
  path,
  skips,
  signal,
}: TreeStateOptions): Promise<{ readonly state: Digest; readonly newestSec: number }> {
  checkHostPath(root, 'the root')
  checkPath(path, 'the path')
  for (const skip of skips) {
    checkHostPath(skip, 'a directory to skip')
  }
  const what = `look through '${root}', at`
  const { state, newestSec } = await cancellable(addon(), signal, what, (cancellation) =>
    addon().treeState(root, path, joinList(skips), cancellation),
  )
  return { state: state as Digest, newestSec }
}

async function hashFiles(
  root: string,
  paths: readonly LayerPath[],
  signal: AbortSignal,
): Promise<(Digest | Error)[]> {
  checkHostPath(root, 'the root')
  for (const path of paths) {
    checkHostPath(path, 'a file')
  }
  const hashed = await cancellable(addon(), signal, `hash files in '${root}', at`, (cancellation) =>
    addon().hashFiles(root, joinList(paths), cancellation),
  )
  return hashed.map((item) => {
    if (typeof item === 'string') {
      return item as Digest
    }
    const error = toKernelError(item, 'hash')
    return error instanceof Error ? error : item
  })
}

async function readLayer(options: ReadLayerOptions): Promise<ReadLayerResult> {
  const { blob, arriving, extractTo, entries, limits, signal } = options
  checkHostPath(blob, 'the blob')
  if (arriving !== undefined) {
    checkHostPath(arriving.path, 'the arriving blob')
    check(Number.isSafeInteger(arriving.sizeBytes), 'the size of the blob is no whole number')
  }
  if (extractTo !== undefined) {
    checkHostPath(extractTo, 'the directory to unpack into')
  }
  if (typeof entries !== 'string') {
    checkHostPath(entries.contents, 'the table of contents')
  }
  check(Number.isSafeInteger(limits.uncompressedSizeBytesMax), 'the size limit is no whole number')
  check(Number.isSafeInteger(limits.entryCountMax), 'the limit of entries is no whole number')
  const settings = {
    blob,
    arrivingPath: arriving?.path ?? '',
    arrivingSize: arriving?.sizeBytes ?? 0,
    compression: options.compression,
    digestsBlob: arriving === undefined,
    extractTo: extractTo ?? '',
    listsEntries: entries === 'list',
    contents: typeof entries === 'string' ? '' : entries.contents,
    whiteouts: options.whiteouts,
    userXattr: options.userXattr,
    withOwners: options.ownership === 'owners',
    opensAll: options.opensAll === true,
    contentSizeMax: limits.uncompressedSizeBytesMax,
    entryCountMax: limits.entryCountMax,
  }
  const what = extractTo === undefined ? `read the archive '${blob}', at` : `unpack '${blob}', at`
  const result = await cancellable(addon(), signal, what, (cancellation) =>
    addon().readLayer(settings, cancellation),
  )
  return {
    digest: result.digest === '' ? undefined : (result.digest as Digest),
    sizeBytes: result.sizeBytes,
    diffId: result.diffId as DiffId,
    uncompressedSizeBytes: result.uncompressedSizeBytes,
    entries: decodeLayerEntries(result.entries),
    implied: splitList(result.implied),
    isPlain: result.isPlain,
    newestFileSec: result.newestFileSec,
    skipped: result.skipped,
  }
}

async function recompress(options: RecompressOptions): Promise<PackResult> {
  const { blob, output, compression, level, uncompressedSizeBytesMax, signal } = options
  checkHostPath(blob, 'the blob')
  checkHostPath(output, 'the output')
  check(level === undefined || Number.isInteger(level), `level ${level} is no whole number`)
  check(Number.isSafeInteger(uncompressedSizeBytesMax), 'the size limit is no whole number')
  const what = `write '${blob}' as ${compression}, at`
  const result = await cancellable(addon(), signal, what, (cancellation) =>
    addon().recompress(
      blob,
      output,
      compression,
      level ?? -1,
      uncompressedSizeBytesMax,
      cancellation,
    ),
  )
  return { ...result, diffId: result.diffId as DiffId, digest: result.digest as Digest }
}

async function removeTree(path: string, signal: AbortSignal): Promise<void> {
  checkHostPath(path, 'the tree')
  await cancellable(addon(), signal, 'remove', (cancellation) =>
    addon().removeTree(path, cancellation),
  )
}

async function syncFilesystem(path: string): Promise<void> {
  checkHostPath(path, 'the path')
  const never = new AbortController().signal
  await cancellable(addon(), never, 'sync the filesystem of', (cancellation) =>
    addon().syncFilesystem(path, cancellation),
  )
}

/** The native addon, loaded on first use; absent, every call fails with `addon-missing` and how to build it. */
export const kernel: Kernel = {
  listDirectories,
  listChildren,
  scanTree,
  scanSmallTree,
  treeState,
  hashFiles,
  createPacker: (options: PackOptions): LayerPacker => new NativePacker(addon(), options),
  createMaker: (options: MakeOptions): LayerMaker =>
    callNow('make the layer in', () => new NativeMaker(addon(), options)),
  readLayer,
  recompress,
  removeTree,
  tryLock(fd: number, mode: 'shared' | 'exclusive'): boolean {
    checkFd(fd)
    return callNow('lock', () => addon().tryLock(fd, mode === 'exclusive'))
  },
  unlock(fd: number): void {
    checkFd(fd)
    callNow('unlock', () => addon().unlock(fd))
  },
  syncFilesystem,
  openInRoot(root: string, path: string): number {
    checkHostPath(root, 'the root')
    checkPath(path, 'the path')
    return callNow(`open below '${root}'`, () => addon().openInRoot(root, path))
  },
  getXattr(path: string, name: string): Uint8Array | undefined {
    checkHostPath(path, 'the path')
    checkHostPath(name, 'the attribute')
    return callNow(`read the attribute ${name} of`, () => addon().getXattr(path, name))
  },
  setXattr(path: string, name: string, value: Uint8Array): void {
    checkHostPath(path, 'the path')
    checkHostPath(name, 'the attribute')
    callNow(`set the attribute ${name} of`, () => addon().setXattr(path, name, value))
  },
  spreadChildren(path: string): boolean {
    checkHostPath(path, 'the directory')
    return callNow('spread what is in', () => addon().spreadChildren(path))
  },
  makeNode(
    path: string,
    type: 'char' | 'block' | 'fifo',
    options: { mode: number; major: number; minor: number },
  ): void {
    checkHostPath(path, 'the path')
    checkDevice(options.mode, options.major, options.minor)
    const code = { char: 3, block: 4, fifo: 5 }[type]
    callNow('make the node', () =>
      addon().makeNode(path, code, options.mode, options.major, options.minor),
    )
  },
}
