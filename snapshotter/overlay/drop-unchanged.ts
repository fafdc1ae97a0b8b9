import { type BigIntStats, closeSync, lstatSync, openSync, readSync } from 'node:fs'
import type { LayerPath } from '../layer/entry.ts'
import { parentOf } from '../layer/order.ts'
import { encodePath } from '../layer/path-bytes.ts'
import { isOverlayXattr, isWhiteoutDevice, opaqueXattr } from '../layer/whiteout.ts'
import type { Kernel, ScannedEntry } from '../native/kernel-types.ts'

export interface DropOptions {
  readonly kernel: Pick<Kernel, 'getXattr'>
  readonly userXattr: boolean
  /** The directory that was scanned. */
  readonly upperDir: string
  /** Top first, as mounted. */
  readonly lowerDirs: readonly string[]
}

/** Asked for below too, as one that was taken away shows nowhere above: file capabilities, and recorded owners. */
const XATTRS_THAT_MAY_GO = ['security.capability', 'user.tsbuild.owner']
const MODE_BITS = 0o7777n
/** By S_IFMT, shifted (inode(7)). */
const TYPES: Readonly<Record<number, ScannedEntry['type']>> = {
  4: 'dir',
  8: 'file',
  10: 'symlink',
  2: 'char',
  6: 'block',
  1: 'fifo',
}

/**
 * The scan of an upper directory without what overlayfs copied up but nobody changed: equal type, mode, owner, attributes
 * and, but for directories, size and modification time, as BuildKit's differ leaves it out (`chmod` to the mode that it has,
 * `>>` without a write; features row O20). A directory stays when something in it does.
 */
export function dropUnchanged(
  scanned: readonly ScannedEntry[],
  options: DropOptions,
): readonly ScannedEntry[] {
  const below = new Below(options)
  const unchanged = new Set<LayerPath>()
  const needed = new Set<LayerPath>()
  for (const entry of scanned) {
    if (!isWhiteoutDevice(entry) && below.has(entry)) unchanged.add(entry.path)
    else for (let at = entry.path; !needed.has(at); at = parentOf(at)) needed.add(at)
  }
  if (unchanged.size === 0) return scanned
  return scanned.filter(({ path }) => !unchanged.has(path) || needed.has(path))
}

interface Found {
  readonly root: string
  readonly stats: BigIntStats
}

/** The merged layers below, looked at only where the upper directory has a directory too. */
class Below {
  readonly #options: DropOptions
  /** For each directory of the upper one the layers that show through in it. */
  readonly #layersOf = new Map<LayerPath, readonly string[]>()

  constructor(options: DropOptions) {
    this.#options = options
    this.#layersOf.set('', options.lowerDirs)
  }

  /** Whether the same is there without the upper directory. Parents are to be asked for before what is in them. */
  has(entry: ScannedEntry): boolean {
    const isOpaque = entry.type === 'dir' && isMarkedOpaque(entry)
    const found = isOpaque ? [] : this.#find(entry)
    const [top] = found
    if (top === undefined) return false
    const directories = found.filter(({ stats }) => stats.isDirectory())
    if (entry.type === 'dir')
      this.#layersOf.set(
        entry.path,
        directories.map(({ root }) => root),
      )
    return this.#isSame(entry, top.stats, top.root)
  }

  /** What is visible at its path, top first: one thing, or a directory of several layers. */
  #find({ path, type }: ScannedEntry): Found[] {
    const found: Found[] = []
    for (const root of this.#layersOf.get(parentOf(path)) ?? []) {
      const place = encodePath(`${root}/${path}`)
      const stats = lstatSync(place, { bigint: true, throwIfNoEntry: false })
      if (stats === undefined) continue
      if (!stats.isDirectory()) {
        const isWhiteout = stats.isCharacterDevice() && stats.rdev === 0n
        return isWhiteout || found.length > 0 ? found : [{ root, stats }]
      }
      found.push({ root, stats })
      if (type !== 'dir' || this.#isOpaqueIn(root, path)) break
    }
    return found
  }

  #isOpaqueIn(root: string, path: LayerPath): boolean {
    const { kernel, userXattr } = this.#options
    const mark = kernel.getXattr(`${root}/${path}`, opaqueXattr(userXattr))
    return mark !== undefined && Buffer.from(mark).toString('latin1') === 'y'
  }

  #isSame(entry: ScannedEntry, stats: BigIntStats, root: string): boolean {
    if (TYPES[Number(stats.mode >> 12n)] !== entry.type) return false
    if (entry.type !== 'symlink' && Number(stats.mode & MODE_BITS) !== entry.mode) return false
    if (Number(stats.uid) !== entry.uid || Number(stats.gid) !== entry.gid) return false
    // Links between changed and unchanged names have to stay together.
    if (entry.type !== 'dir' && (entry.nlink > 1 || !isSameContent(entry, stats))) return false
    if (!this.#hasSameXattrs(entry, `${root}/${entry.path}`)) return false
    // A time without a fraction may have been cut off by a tar: then only the bytes tell.
    if (entry.type !== 'file' || entry.mtimeNsec !== 0 || entry.sizeBytes === 0) return true
    return hasSameBytes(entry.path, root, this.#options.upperDir)
  }

  #hasSameXattrs({ xattrs = [] }: ScannedEntry, place: string): boolean {
    const own = new Map(xattrs.map(({ name, value }) => [name, value]))
    const names = [...own.keys()].filter((name) => !isOverlayXattr(name))
    return [...new Set([...names, ...XATTRS_THAT_MAY_GO])].every((name) => {
      const lower = this.#options.kernel.getXattr(place, name)
      const upper = own.get(name)
      if (lower === undefined || upper === undefined) return lower === upper
      return Buffer.compare(lower, upper) === 0
    })
  }
}

const CHUNK_BYTES = 1024 * 1024

/** Compares two files of one size, a piece at a time: layers have files of gigabytes. */
function hasSameBytes(path: LayerPath, ...roots: readonly [string, string]): boolean {
  const open = (root: string): number => openSync(encodePath(`${root}/${path}`), 'r')
  const files = [open(roots[0]), open(roots[1])] as const
  const pieces = [Buffer.alloc(CHUNK_BYTES), Buffer.alloc(CHUNK_BYTES)] as const
  try {
    for (;;) {
      const counts = [readSync(files[0], pieces[0]), readSync(files[1], pieces[1])] as const
      if (counts[0] !== counts[1]) return false
      if (counts[0] === 0) return true
      if (pieces[0].compare(pieces[1], 0, counts[0], 0, counts[0]) !== 0) return false
    }
  } finally {
    for (const fd of files) closeSync(fd)
  }
}

function isMarkedOpaque({ xattrs = [] }: ScannedEntry): boolean {
  return xattrs.some(({ name }) => /^(trusted|user)\.overlay\.opaque$/.test(name))
}

function isSameContent(entry: ScannedEntry, stats: BigIntStats): boolean {
  const mtimeNs = BigInt(entry.mtimeSec) * 1_000_000_000n + BigInt(entry.mtimeNsec)
  return stats.mtimeNs === mtimeNs && Number(stats.size) === entry.sizeBytes
}
