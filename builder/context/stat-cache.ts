import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Digest } from '../../registry-client/oci/index.ts'
import type { LayerPath, ScannedEntry } from '../../snapshotter/index.ts'
import {
  blockBytes,
  decodeBlock,
  encodeBlock,
  type FileStat,
  type StatBlock,
} from './stat-block.ts'

/** First bytes of the file; another version is another name, so old files are ignored, not misread. */
const MAGIC = Buffer.from('tsbuild stat cache 1\n')
const ENTRIES_PER_BLOCK = 4096
const BLOCK_BYTES_MAX = 64 << 20

/**
 * A file that changed less than this before it was looked at is not recorded: it could change again within the same
 * tick of the file system's clock and look the same (the "racy git" problem). Two seconds cover file systems with
 * coarse times.
 */
const SETTLED_AFTER_MS = 2000

export interface StatCacheOptions {
  /** File to keep it in; its directory exists. */
  readonly file: string
  /** Directory for the unfinished file, on the same file system. */
  readonly workDirectory: string
}

/**
 * Digests of files of one context directory from earlier builds, valid while path, device, inode, size, mtime and ctime
 * are the same (features row K26). Kept in blocks, so neither reading nor writing holds the whole list in one piece.
 * A file that is missing, damaged or of another version is an empty cache: it saves time, nothing depends on it.
 */
export class StatCache {
  readonly #options: StatCacheOptions
  /** From the file; digests are decoded when they are asked for. */
  readonly #known: ReadonlyMap<LayerPath, { readonly block: StatBlock; readonly index: number }>
  readonly #fresh = new Map<LayerPath, { readonly stat: FileStat; readonly digest: Digest }>()

  private constructor(options: StatCacheOptions, blocks: readonly StatBlock[]) {
    this.#options = options
    const known = new Map<LayerPath, { block: StatBlock; index: number }>()
    for (const block of blocks) {
      for (const [index, path] of block.paths.entries()) {
        known.set(path, { block, index })
      }
    }
    this.#known = known
  }

  static async open(options: StatCacheOptions): Promise<StatCache> {
    return new StatCache(options, await readBlocks(options.file))
  }

  /** The digest of the file when it is known to be unchanged. */
  lookup(stat: FileStat): Digest | undefined {
    const known = this.#known.get(stat.path)
    return known?.block.isSame(known.index, stat) === true
      ? known.block.digest(known.index)
      : undefined
  }

  /** Notes the digest of a file that was looked at, and then read, at `lookedAtMs` or later. */
  record(stat: FileStat, digest: Digest, lookedAtMs: number): void {
    const changedMs = Math.max(
      stat.mtimeSec * 1000 + stat.mtimeNsec / 1e6,
      stat.ctimeSec * 1000 + stat.ctimeNsec / 1e6,
    )
    if (changedMs + SETTLED_AFTER_MS <= lookedAtMs) {
      this.#fresh.set(stat.path, { stat, digest })
    }
  }

  /**
   * Writes the cache when something was recorded. `present` is what the context holds now, as far as it was listed;
   * of paths not in it those are kept that fill at most half of the file.
   */
  async save(present: Iterable<ScannedEntry>): Promise<void> {
    if (this.#fresh.size === 0) {
      return
    }
    const temporary = join(this.#options.workDirectory, `stat-cache-${randomUUID()}`)
    try {
      const file = await open(temporary, 'wx', 0o600)
      try {
        await this.#write(file, present)
        await file.datasync()
      } finally {
        await file.close()
      }
      await rename(temporary, this.#options.file)
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
  }

  async #write(file: FileHandle, present: Iterable<ScannedEntry>): Promise<void> {
    await file.appendFile(MAGIC)
    let batch: { stat: FileStat; digest: Digest }[] = []
    const written = new Set<LayerPath>()
    const add = async (stat: FileStat, digest: Digest): Promise<void> => {
      written.add(stat.path)
      batch.push({ stat, digest })
      if (batch.length === ENTRIES_PER_BLOCK) {
        await file.appendFile(encodeBlock(batch))
        batch = []
      }
    }
    for (const entry of present) {
      const digest =
        entry.type === 'file'
          ? (this.#fresh.get(entry.path)?.digest ?? this.lookup(entry))
          : undefined
      if (digest !== undefined) {
        await add(entry, digest)
      }
    }
    const absentMax = Math.max(written.size, 1000)
    let absent = 0
    for (const [path, { block, index }] of this.#known) {
      const digest = block.digest(index)
      if (absent < absentMax && digest !== undefined && !written.has(path)) {
        absent += 1
        await add(block.stat(index), digest)
      }
    }
    if (batch.length > 0) {
      await file.appendFile(encodeBlock(batch))
    }
  }
}

async function readBlocks(path: string): Promise<StatBlock[]> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      return []
    }
    throw error
  }
  try {
    return await readBlocksOf(file)
  } finally {
    await file.close()
  }
}

/** Blocks up to the first damaged one. */
async function readBlocksOf(file: FileHandle): Promise<StatBlock[]> {
  const blocks: StatBlock[] = []
  let position = MAGIC.length
  if (!(await readAt(file, 0, MAGIC.length)).equals(MAGIC)) {
    return blocks
  }
  for (;;) {
    const length = blockBytes(await readAt(file, position, 8))
    if (length === undefined || length > BLOCK_BYTES_MAX) {
      return blocks
    }
    const block = decodeBlock(await readAt(file, position, length))
    if (block === undefined) {
      return blocks
    }
    blocks.push(block)
    position += length
  }
}

/** Up to `length` bytes; fewer at the end of the file. */
async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled)
    if (bytesRead === 0) {
      break
    }
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}
