import { createGunzip, constants as zlib } from 'node:zlib'
import {
  joinPath,
  type LayerEntry,
  type LayerPath,
  nameOf,
  type PackSource,
  parentOf,
} from '../../snapshotter/index.ts'
import { readHead, sniffCompression, startsWithTarHeader } from '../context/archive-bytes.ts'
import type { DraftLeaf, DraftMetadata, LayerDraft } from './copy-draft.ts'
import { CopyError } from './copy-errors.ts'
import type { Owner } from './copy-owner.ts'
import { makeDirectories, resolveForWriting } from './copy-place.ts'
import { resolvePath } from './copy-resolve.ts'
import type { TreeEntry, TreeView } from './copy-source.ts'
import type { SortedEntries } from './sorted-archive.ts'

/** An archive whose files were unpacked to a directory. */
export interface ArchiveContents {
  /** In the order of the archive; a later entry replaces an earlier one of the same path. All are in memory. */
  readonly list: () => Promise<readonly LayerEntry[]>
  /** Undefined: the order matters. */
  readonly sorted: SortedEntries | undefined
  /** Host directory with the bytes of its files. */
  readonly root: string
}

export interface UnpackOptions {
  readonly draft: LayerDraft
  /** Directory that exists in the draft; symlinks in the archive lead no further up than here. */
  readonly target: LayerPath
  readonly archive: ArchiveContents
  /** From --chown: of all entries; directories that the archive only implies are root's (features row D116). */
  readonly owner: Owner | undefined
  readonly timeSec: number
}

/**
 * Writes an archive to a draft as `tar -x` run inside the target would: existing directories get the archive's metadata,
 * everything else is replaced, symlinks on the way are followed. The archive's own root entry changes nothing (O29).
 */
export async function unpackArchive(options: UnpackOptions): Promise<void> {
  const inside = viewInside(options.draft, options.target)
  const entries = await options.archive.list()
  const places = await bytePlaces(entries)
  const implied = { mode: 0o755, owner: { uid: 0, gid: 0 }, mtimeSec: options.timeSec }
  for (const entry of entries) {
    if (entry.path === '') {
      continue
    }
    const slash = entry.path.lastIndexOf('/')
    const parent = await resolveForWriting(inside, entry.path.slice(0, Math.max(0, slash)))
    const directory = joinInside(options.target, parent)
    await makeDirectories(options.draft, directory, implied)
    await unpackEntry(options, inside, {
      entry,
      place: places.get(entry) ?? entry.path,
      path: joinPath(directory, nameOf(entry.path)),
    })
  }
}

interface PlacedEntry {
  readonly entry: LayerEntry
  /** Where its bytes lie below the directory that the archive was unpacked to. */
  readonly place: LayerPath
  /** Where it goes in the draft. */
  readonly path: LayerPath
}

async function unpackEntry(
  options: UnpackOptions,
  inside: Pick<TreeView, 'lookup'>,
  { entry, place, path }: PlacedEntry,
): Promise<void> {
  const { draft, target } = options
  if (entry.type === 'whiteout' || entry.type === 'opaque') {
    throw new CopyError(
      'reserved-name',
      `could not unpack .wh. names at /${path}: a layer cannot hold them`,
    )
  }
  if (entry.type === 'hardlink') {
    const linked = await resolveForWriting(inside, parentOf(entry.target))
    const leaf = draft.leafAt(joinPath(joinInside(target, linked), nameOf(entry.target)))
    if (leaf === undefined) {
      throw new CopyError(
        'bad-archive',
        `could not unpack ${entry.path}: it is a hard link to ${entry.target}, which is not in the archive before it`,
      )
    }
    await draft.put(path, leaf)
    return
  }
  const metadata = metadataOf(entry, options.owner)
  if (entry.type !== 'dir') {
    await draft.put(
      path,
      leafOf(entry, metadata, { kind: 'path', root: options.archive.root, path: place }),
    )
  } else if ((await draft.lookup(path))?.type === 'dir') {
    await draft.touchDirectory(path, metadata)
  } else {
    await draft.makeDirectory(path, metadata)
  }
}

type PlainEntry = Exclude<LayerEntry, { type: 'whiteout' | 'opaque' | 'hardlink' }>

/** Metadata of an entry in the layer; attributes other than capabilities stay out. */
export function metadataOf(entry: PlainEntry, owner: Owner | undefined): DraftMetadata {
  const xattrs = entry.xattrs?.filter(({ name }) => name === 'security.capability') ?? []
  return {
    // Symlinks have no mode of their own, whatever the archive says.
    mode: entry.type === 'symlink' ? 0o777 : entry.mode,
    uid: owner?.uid ?? entry.uid,
    gid: owner?.gid ?? entry.gid,
    mtimeSec: entry.mtimeSec,
    ...(xattrs.length === 0 ? {} : { xattrs }),
  }
}

/** What an entry puts into the layer, with its bytes at `source`. */
export function leafOf(
  entry: Exclude<PlainEntry, { type: 'dir' }>,
  metadata: DraftMetadata,
  source: PackSource,
): DraftLeaf {
  switch (entry.type) {
    case 'file':
      return {
        ...metadata,
        type: 'file',
        sizeBytes: entry.sizeBytes,
        source,
        expect: entry.digest,
      }
    case 'symlink':
      return { ...metadata, type: 'symlink', target: entry.target }
    case 'char':
    case 'block':
      return { ...metadata, type: entry.type, major: entry.major, minor: entry.minor }
    case 'fifo':
      return { ...metadata, type: 'fifo' }
  }
}

/**
 * Where the bytes of each entry lie once the whole archive is unpacked: a file whose name is taken by a later entry is
 * found under a hard link that was made before.
 */
async function bytePlaces(
  entries: readonly LayerEntry[],
): Promise<ReadonlyMap<LayerEntry, LayerPath>> {
  const extracted = new ExtractedPlaces()
  const holders = new Map<LayerPath, LayerEntry>()
  for (const entry of entries) {
    const place = await extracted.add(entry)
    const linked =
      entry.type === 'hardlink' ? holders.get(await extracted.find(entry.target)) : undefined
    holders.set(place, linked ?? entry)
  }
  return new Map(Array.from(holders, ([place, entry]) => [entry, place]))
}

/**
 * Where entries of an archive were unpacked: an entry may go through a symlink of an entry before it, and then lies where
 * that leads in the directory of the archive, which is not always where it leads in the image.
 */
class ExtractedPlaces implements Pick<TreeView, 'lookup'> {
  readonly #links = new Map<LayerPath, TreeEntry>()

  async add(entry: LayerEntry): Promise<LayerPath> {
    const place = await this.find(entry.path)
    if (entry.type === 'symlink') {
      this.#links.set(place, entry)
    } else {
      this.#links.delete(place)
    }
    return place
  }

  async find(path: LayerPath): Promise<LayerPath> {
    if (this.#links.size === 0) {
      return path
    }
    return joinInside((await resolvePath(this, parentOf(path))).path, nameOf(path))
  }

  /** Only symlinks matter here: all else is a directory. */
  lookup(path: LayerPath): Promise<TreeEntry> {
    const directory: TreeEntry = { type: 'dir', path, mode: 0o755, uid: 0, gid: 0, mtimeSec: 0 }
    return Promise.resolve(this.#links.get(path) ?? directory)
  }
}

/**
 * Whether a file is an archive that ADD unpacks, by its content (features row D116): a tar, or a compressed file that
 * begins like one. What bzip2, xz and zstd hold is not looked at here: `maybe` says that only unpacking can tell.
 */
export async function detectArchive(file: string): Promise<'yes' | 'no' | 'maybe'> {
  const head = await readHead(file, HEAD_BYTES)
  const compression = sniffCompression(head)
  if (compression === undefined) {
    return startsWithTarHeader(head) ? 'yes' : 'no'
  }
  if (compression !== 'gzip') {
    return 'maybe'
  }
  return startsWithTarHeader(await gunzipHead(head)) ? 'yes' : 'no'
}

/** Enough compressed bytes to hold the first header whatever name and comment the gzip header has. */
const HEAD_BYTES = 128 * 1024

/** First bytes of a gzip stream that may be cut off; empty when it is none. */
async function gunzipHead(bytes: Buffer): Promise<Buffer> {
  const gunzip = createGunzip({ finishFlush: zlib.Z_SYNC_FLUSH })
  const chunks: Buffer[] = []
  let length = 0
  gunzip.end(bytes)
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      length += chunk.length
      if (length >= 512) {
        break
      }
    }
  } catch {
    // Not gzip after all, whatever its first bytes say: then it is a plain file.
    return Buffer.alloc(0)
  }
  return Buffer.concat(chunks)
}

/** The draft as it is seen by a process whose root directory is `target`. */
function viewInside(draft: LayerDraft, target: LayerPath): Pick<TreeView, 'lookup'> {
  return { lookup: (path) => draft.lookup(joinInside(target, path)) }
}

/** A path of the archive where it is unpacked into `target`. */
export function joinInside(target: LayerPath, path: LayerPath): LayerPath {
  return path === '' ? target : joinPath(target, path)
}
