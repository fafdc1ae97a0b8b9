import { type BigIntStats, lstatSync, readlinkSync } from 'node:fs'
import type { Digest } from '../../registry-client/oci/index.ts'
import type { LayerPath } from '../layer/entry.ts'
import { parentOf } from '../layer/order.ts'
import { encodePath } from '../layer/path-bytes.ts'
import {
  isMarkedOpaque,
  isOpaqueOnHost,
  isOverlayXattr,
  isWhiteoutDevice,
} from '../layer/whiteout.ts'
import type { Kernel, ScannedEntry } from '../native/kernel-types.ts'

export interface DropOptions {
  readonly kernel: Pick<Kernel, 'getXattr' | 'hashFiles'>
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
 * The walk of an upper directory without what overlayfs copied up but nobody changed: equal type, mode, owner, attributes,
 * target, device number and, but for directories, size and modification time, as BuildKit's differ leaves it out (`chmod`
 * to the mode that it has, `>>` without a write; features row O20). A directory stays when something in it does; of a file
 * below that got a further name only that name, as a file of its own.
 */
export async function* dropUnchanged(
  scanned: AsyncIterable<readonly ScannedEntry[]>,
  options: DropOptions,
  signal: AbortSignal,
): AsyncGenerator<readonly ScannedEntry[]> {
  const below = new Below(options)
  /** Unchanged directories above the last entry: they are given when something in them is. */
  const waiting: ScannedEntry[] = []
  for await (const page of scanned) {
    const unchanged = new Set<LayerPath>()
    for (const entry of page) {
      if (!isWhiteoutDevice(entry) && below.has(entry)) unchanged.add(entry.path)
    }
    for (const path of await below.withOtherBytes(signal)) unchanged.delete(path)
    yield unchanged.size === 0 && waiting.length === 0 ? page : keep(page, unchanged, waiting)
  }
}

function keep(
  page: readonly ScannedEntry[],
  unchanged: ReadonlySet<LayerPath>,
  waiting: ScannedEntry[],
): ScannedEntry[] {
  const kept: ScannedEntry[] = []
  for (const entry of page) {
    while (waiting.length > 0 && !entry.path.startsWith(`${waiting.at(-1)?.path}/`)) waiting.pop()
    if (!unchanged.has(entry.path)) {
      for (const directory of waiting) kept.push(directory)
      waiting.length = 0
      kept.push(entry)
    } else if (entry.type === 'dir') {
      waiting.push(entry)
    }
  }
  return kept
}

interface Found {
  readonly root: string
  readonly stats: BigIntStats
}

/** A directory of the upper one with the layers that show through in it. */
interface OpenDirectory {
  readonly path: LayerPath
  readonly layers: readonly string[]
}

/** The merged layers below, looked at only where the upper directory has a directory too. */
class Below {
  readonly #options: DropOptions
  /** From the root down to the last entry. */
  readonly #open: OpenDirectory[]
  /** By the layer below: files that are the same unless their bytes differ. */
  readonly #undecided = new Map<string, LayerPath[]>()

  constructor(options: DropOptions) {
    this.#options = options
    this.#open = [{ path: '', layers: options.lowerDirs }]
  }

  /**
   * Whether the same is there without the upper directory, but for what `withOtherBytes` finds later. To be asked in the order
   * of a walk.
   */
  has(entry: ScannedEntry): boolean {
    const isOpaque = entry.type === 'dir' && isMarkedOpaque(entry)
    const layers = this.#layersIn(parentOf(entry.path))
    const found = isOpaque ? [] : this.#find(entry, layers)
    if (entry.type === 'dir') {
      const directories = found.filter(({ stats }) => stats.isDirectory())
      this.#open.push({ path: entry.path, layers: directories.map(({ root }) => root) })
    }
    const [top] = found
    return top !== undefined && this.#isSame(entry, top.stats, top.root)
  }

  #layersIn(directory: LayerPath): readonly string[] {
    while (this.#open.length > 1 && this.#open.at(-1)?.path !== directory) this.#open.pop()
    return this.#open.at(-1)?.layers ?? []
  }

  /** Of the files that `has` took for the same. All are hashed together, on threads: layers have files of gigabytes. */
  async withOtherBytes(signal: AbortSignal): Promise<LayerPath[]> {
    const { kernel, upperDir } = this.#options
    const found: LayerPath[] = []
    for (const [root, paths] of this.#undecided) {
      const lower = await kernel.hashFiles(root, paths, signal)
      const upper = await kernel.hashFiles(upperDir, paths, signal)
      for (const [index, path] of paths.entries()) {
        if (checked(lower[index]) !== checked(upper[index])) found.push(path)
      }
    }
    this.#undecided.clear()
    return found
  }

  /** What is visible at its path, top first: one thing, or a directory of several layers. */
  #find({ path, type }: ScannedEntry, layers: readonly string[]): Found[] {
    const found: Found[] = []
    for (const root of layers) {
      const place = encodePath(`${root}/${path}`)
      const stats = lstatSync(place, { bigint: true, throwIfNoEntry: false })
      if (stats === undefined) continue
      if (!stats.isDirectory()) {
        const isWhiteout = stats.isCharacterDevice() && stats.rdev === 0n
        return isWhiteout || found.length > 0 ? found : [{ root, stats }]
      }
      found.push({ root, stats })
      if (type !== 'dir' || isOpaqueOnHost(`${root}/${path}`, this.#options)) break
    }
    return found
  }

  #isSame(entry: ScannedEntry, stats: BigIntStats, root: string): boolean {
    if (TYPES[Number(stats.mode >> 12n)] !== entry.type) return false
    if (entry.type !== 'symlink' && Number(stats.mode & MODE_BITS) !== entry.mode) return false
    if (Number(stats.uid) !== entry.uid || Number(stats.gid) !== entry.gid) return false
    if (entry.type !== 'dir' && !isSameContent(entry, stats)) return false
    const place = `${root}/${entry.path}`
    if (!isSameNode(entry, stats, place) || !this.#hasSameXattrs(entry, place)) return false
    // A time without a fraction may have been cut off by a tar: then only the bytes tell.
    if (entry.type === 'file' && entry.mtimeNsec === 0 && entry.sizeBytes > 0) {
      const paths = this.#undecided.get(root) ?? []
      paths.push(entry.path)
      this.#undecided.set(root, paths)
    }
    return true
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

function checked(hashed: Digest | Error | undefined): Digest | undefined {
  if (hashed instanceof Error) throw hashed
  return hashed
}

function isSameContent(entry: ScannedEntry, stats: BigIntStats): boolean {
  const mtimeNs = BigInt(entry.mtimeSec) * 1_000_000_000n + BigInt(entry.mtimeNsec)
  return stats.mtimeNs === mtimeNs && Number(stats.size) === entry.sizeBytes
}

/** What a link names and which device a node is. A time that was set afterwards does not tell. */
function isSameNode(entry: ScannedEntry, stats: BigIntStats, place: string): boolean {
  if (entry.type === 'symlink') {
    const target = readlinkSync(encodePath(place), 'buffer')
    return target.equals(Buffer.from(encodePath(entry.target ?? '')))
  }
  if (entry.type !== 'char' && entry.type !== 'block') return true
  return stats.rdev === deviceNumber(entry.major ?? 0, entry.minor ?? 0)
}

/** As stat(2) gives it to programs, major and minor each in two parts (makedev(3)). */
function deviceNumber(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)]
  return (
    ((high & ~0xfffn) << 32n) | ((high & 0xfffn) << 8n) | ((low & ~0xffn) << 12n) | (low & 0xffn)
  )
}
