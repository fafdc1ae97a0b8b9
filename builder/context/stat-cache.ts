import { rename, rm } from 'node:fs/promises'
import type { Digest } from '../../registry-client/oci/index.ts'
import { comparePaths, type LayerPath } from '../../snapshotter/index.ts'
import type { FileStat, StatRecord } from './stat-block.ts'
import { ENTRIES_PER_BLOCK, StatBlocks, type StatPlace } from './stat-blocks.ts'
import { mergeRecords } from './stat-merge.ts'

/** New records that are held before they go to a file. */
const FRESH_MAX = ENTRIES_PER_BLOCK
/** Of old records that nobody asked for so many are kept, if there are not more others. */
const UNSEEN_MIN = 1000

/**
 * A file that changed less than this before it was looked at is not recorded: it could change again within the same
 * tick of the file system's clock and look the same (the "racy git" problem). Two seconds cover file systems with
 * coarse times.
 */
const SETTLED_AFTER_MS = 2000

export interface StatCacheOptions {
  /** File to keep it in; its directory exists. */
  readonly file: string
  /** Gives paths for unfinished files, on the same file system. */
  readonly temporaryPath: (kind: string) => string
}

/** Records of this build that were written to a file of their own. */
interface Run {
  readonly path: string
  readonly blocks: StatBlocks
}

/**
 * Digests of files of one context directory from earlier builds, valid while path, device, inode, size, mtime and ctime
 * are the same (features row K26). It is kept sorted, in blocks, and so are the new records until they are merged: no list
 * of all files is ever in memory. A file that is missing, damaged or of another version is an empty cache: it saves
 * time, nothing depends on it.
 */
export class StatCache {
  readonly #options: StatCacheOptions
  /** Of earlier builds. */
  readonly #known: StatBlocks | undefined
  /** For each block of `#known` which of its records were asked for. */
  readonly #seen = new Map<number, Uint8Array>()
  #seenCount = 0
  readonly #fresh = new Map<LayerPath, StatRecord>()
  readonly #runs: Run[] = []
  #freshCount = 0

  private constructor(options: StatCacheOptions, known: StatBlocks | undefined) {
    this.#options = options
    this.#known = known
  }

  static async open(options: StatCacheOptions): Promise<StatCache> {
    return new StatCache(options, await StatBlocks.open(options.file))
  }

  /** For each file its digest when it is known to be unchanged. */
  async lookup(stats: readonly FileStat[]): Promise<(Digest | undefined)[]> {
    const digests: (Digest | undefined)[] = []
    for (const stat of stats) {
      // Waiting for each of 50,000 files would take longer than all the rest.
      digests.push(this.#findNow(stat) ?? (await this.#find(stat)))
    }
    return digests
  }

  /** For a file that this build has not seen yet, as nearly all are. */
  #findNow(stat: FileStat): Digest | undefined {
    const known = this.#freshCount === 0 ? this.#known?.findHeld(stat.path) : undefined
    return known && this.#use(known, stat)
  }

  async #find(stat: FileStat): Promise<Digest | undefined> {
    const fresh = this.#fresh.get(stat.path)
    if (fresh !== undefined) {
      return isSame(fresh.stat, stat) ? fresh.digest : undefined
    }
    for (const { blocks } of this.#runs.toReversed()) {
      const found = await blocks.find(stat.path)
      if (found?.block.isSame(found.index, stat) === true) {
        return found.block.digest(found.index)
      }
    }
    const known = await this.#known?.find(stat.path)
    return known && this.#use(known, stat)
  }

  #use(known: StatPlace, stat: FileStat): Digest | undefined {
    if (!known.block.isSame(known.index, stat)) {
      return undefined
    }
    this.#see(known)
    return known.block.digest(known.index)
  }

  /**
   * Notes the digest of a file that was looked at, and then read, at `lookedAtMs` or later. Undefined, which is nearly
   * always: there is nothing to wait for.
   */
  record(stat: FileStat, digest: Digest, lookedAtMs: number): Promise<void> | undefined {
    const changedMs = Math.max(
      stat.mtimeSec * 1000 + stat.mtimeNsec / 1e6,
      stat.ctimeSec * 1000 + stat.ctimeNsec / 1e6,
    )
    if (changedMs + SETTLED_AFTER_MS <= lookedAtMs) {
      this.#fresh.set(stat.path, { stat, digest })
      this.#freshCount += 1
    }
    return this.#fresh.size >= FRESH_MAX ? this.#writeRun() : undefined
  }

  /**
   * Ends the cache, and writes it when something was recorded. Old records that nobody asked for are kept as long as they
   * fill at most half of the file.
   */
  async save(): Promise<void> {
    const temporary = this.#options.temporaryPath('stat-cache')
    try {
      if (this.#freshCount > 0) {
        await this.#write(temporary)
        await rename(temporary, this.#options.file)
      }
    } finally {
      await rm(temporary, { force: true })
      await this.#close()
    }
  }

  async #write(path: string): Promise<void> {
    await using file = await StatBlocks.create(path)
    let unseen = Math.max(this.#seenCount + this.#freshCount, UNSEEN_MIN)
    const keeps = ({ blockIndex, index }: StatPlace): boolean => {
      const isSeen = this.#seen.get(blockIndex)?.[index] === 1
      unseen -= isSeen ? 0 : 1
      return isSeen || unseen >= 0
    }
    const lists = [
      pageOf(this.#sortedFresh()),
      ...this.#runs.toReversed().map(({ blocks }) => blocks.records()),
      ...(this.#known === undefined ? [] : [this.#known.records(keeps)]),
    ]
    for await (const block of mergeRecords(lists, ENTRIES_PER_BLOCK)) {
      if (block.length > 0) {
        await file.append(block)
      }
    }
    await file.sync()
  }

  /** Continues the last run when the records come after it, as those of a walk do. */
  async #writeRun(): Promise<void> {
    const records = this.#sortedFresh()
    this.#fresh.clear()
    const last = this.#runs.at(-1)
    if (last?.blocks.endsBefore(records[0]?.stat.path ?? '') === true) {
      await last.blocks.append(records)
      return
    }
    const path = this.#options.temporaryPath('stat-run')
    const blocks = await StatBlocks.create(path)
    this.#runs.push({ path, blocks })
    await blocks.append(records)
  }

  #sortedFresh(): StatRecord[] {
    return [...this.#fresh.values()].sort((a, b) => comparePaths(a.stat.path, b.stat.path))
  }

  #see({ block, blockIndex, index }: StatPlace): void {
    const seen = this.#seen.get(blockIndex) ?? new Uint8Array(block.paths.length)
    this.#seen.set(blockIndex, seen)
    this.#seenCount += seen[index] === 1 ? 0 : 1
    seen[index] = 1
  }

  async #close(): Promise<void> {
    await this.#known?.[Symbol.asyncDispose]()
    for (const { path, blocks } of this.#runs.splice(0)) {
      await blocks[Symbol.asyncDispose]()
      await rm(path, { force: true })
    }
  }
}

async function* pageOf(records: readonly StatRecord[]): AsyncGenerator<readonly StatRecord[]> {
  yield records
}

function isSame(a: FileStat, b: FileStat): boolean {
  return (
    a.dev === b.dev &&
    a.ino === b.ino &&
    a.sizeBytes === b.sizeBytes &&
    a.mtimeSec === b.mtimeSec &&
    a.mtimeNsec === b.mtimeNsec &&
    a.ctimeSec === b.ctimeSec &&
    a.ctimeNsec === b.ctimeNsec
  )
}
