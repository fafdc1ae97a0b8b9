import { randomBytes } from 'node:crypto'
import { open, readFile, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Kernel } from '../native/kernel-types.ts'
import { flushInBackground } from './background-flush.ts'
import { errnoOf } from './errors.ts'
import { readText, writeText } from './named-file.ts'
import type { StateRoot } from './root.ts'

/** When something was written: `atMs` counts from the start of the boot (CLOCK_MONOTONIC is one clock for all processes). */
export interface WriteStamp {
  readonly boot: string
  readonly atMs: number
}

/** What is known to have reached the disk in one boot: all that was stamped until `atMs`; files until `fileTimeMs`. */
interface FlushMark {
  readonly atMs: number
  readonly fileTimeMs: number
}

interface FlushFile {
  /** The boot in which files of earlier boots were last looked at. */
  readonly recoveredIn: string | undefined
  /** When that was, by the filesystem's clock. */
  readonly recoveredAtMs: number
  readonly boots: ReadonlyMap<string, FlushMark>
}

/** Boots whose records are still trusted; a machine that restarts more often forgets its oldest unused ones. */
const BOOTS_MAX = 100
const FLUSH_FILE = 'flushed'
const WHAT = 'what the disk has'

/**
 * Says what survived a crash of the machine without an fsync per file (design.md, "Durability without waiting"):
 * within the boot that wrote a thing the page cache is the truth; after another boot only what a syncfs(2) that began
 * later confirmed. `flush` makes that confirmation and may run whenever nobody waits for it.
 */
export class Durability {
  readonly #root: StateRoot
  readonly #kernel: Pick<Kernel, 'syncFilesystem'>
  readonly #boot: string
  #file: FlushFile
  #hasNews = false

  private constructor(
    root: StateRoot,
    kernel: Pick<Kernel, 'syncFilesystem'>,
    boot: string,
    file: FlushFile,
  ) {
    this.#root = root
    this.#kernel = kernel
    this.#boot = boot
    this.#file = file
  }

  /** `bootId` is for tests; the kernel's otherwise (random(4)). */
  static async open(
    root: StateRoot,
    kernel: Pick<Kernel, 'syncFilesystem'>,
    bootId?: string,
  ): Promise<Durability> {
    const boot = bootId ?? (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
    return new Durability(root, kernel, boot, await readFlushFile(root))
  }

  /** Taken when the bytes are written and before they get their final name. */
  stamp(): WriteStamp {
    return { boot: this.#boot, atMs: monotonicMs() }
  }

  isTrusted(stamp: WriteStamp): boolean {
    if (stamp.boot === this.#boot) return true
    const mark = this.#file.boots.get(stamp.boot)
    return mark !== undefined && stamp.atMs < mark.atMs
  }

  /** Says that something was written which is dear: layers, not just who used them. */
  note(): void {
    this.#hasNews = true
  }

  /**
   * Has everything written until now confirmed by a process that outlives this one, when `note` said that it is worth
   * it (docs/decisions/006-flush-afterwards.md).
   */
  async flushLater(): Promise<void> {
    if (!this.#hasNews) return
    this.#hasNews = false
    const mark = await this.#mark()
    await flushInBackground({
      root: this.#root.path,
      workDir: this.#root.workDir,
      text: textOf(this.#confirmed(await readFlushFile(this.#root), mark)),
      target: join(this.#root.path, FLUSH_FILE),
    })
  }

  /** Confirms everything written until now. Takes as long as the disk needs; nothing depends on it while the machine runs. */
  async flush(): Promise<void> {
    const mark = await this.#mark()
    await this.#kernel.syncFilesystem(this.#root.path)
    await this.#update((file) => this.#confirmed(file, mark))
  }

  /** True once per boot: files of earlier boots that no flush confirmed may be in their place. */
  needsRecovery(): boolean {
    return this.#file.recoveredIn !== this.#boot
  }

  /**
   * Takes blobs that were never confirmed out of `blobs/sha256`; the blob store verifies one when it is asked for it.
   * The caller excludes every other process (leases.ts). What was there at the last recovery was confirmed then; of what
   * came later only the boot that it happened in tells, as the clock may have been set back since earlier ones.
   */
  async recover(): Promise<void> {
    const { recoveredIn = '', recoveredAtMs: lastMs, boots } = this.#file
    const confirmedMs = boots.get(recoveredIn)?.fileTimeMs ?? lastMs
    const recoveredAtMs = await this.#fileTimeMs()
    for (const name of await readdir(this.#root.blobsDir)) {
      const path = join(this.#root.blobsDir, name)
      // Times of files come in ticks: what has the mark's own may have been written after it.
      if ((await stat(path)).ctimeMs < confirmedMs) continue
      await rename(path, join(this.#root.path, 'blobs/unverified', name))
    }
    await this.#update((file) => ({ ...file, recoveredIn: this.#boot, recoveredAtMs }))
  }

  async #update(change: (file: FlushFile) => FlushFile): Promise<void> {
    // Two flushes at once may lose one's mark. That is an older confirmation: safe, only less is known.
    const file = change(await readFlushFile(this.#root))
    const temporary = this.#temporaryPath()
    await writeText(WHAT, temporary, textOf(file))
    try {
      await rename(temporary, join(this.#root.path, FLUSH_FILE))
    } catch (error) {
      // Somebody emptied the trash in this moment: as if this flush had not been.
      if (errnoOf(error) !== 'ENOENT') throw error
    }
    this.#file = file
  }

  async #mark(): Promise<FlushMark> {
    return { atMs: monotonicMs(), fileTimeMs: await this.#fileTimeMs() }
  }

  #confirmed(file: FlushFile, mark: FlushMark): FlushFile {
    return { ...file, boots: new Map(file.boots).set(this.#boot, mark) }
  }

  /** The filesystem's own clock, by which its files are dated. */
  async #fileTimeMs(): Promise<number> {
    const path = this.#temporaryPath()
    await using file = await open(path, 'wx', 0o600)
    const { ctimeMs } = await file.stat()
    await rm(path, { force: true })
    return ctimeMs
  }

  #temporaryPath(): string {
    return join(this.#root.workDir, 'trash', `flushed-${randomBytes(8).toString('hex')}`)
  }
}

function textOf({ boots, ...recovered }: FlushFile): string {
  return `${JSON.stringify({ ...recovered, boots: [...boots].slice(-BOOTS_MAX) })}\n`
}

function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** A damaged or absent file confirms nothing. */
async function readFlushFile(root: StateRoot): Promise<FlushFile> {
  const nothing: FlushFile = { recoveredIn: undefined, recoveredAtMs: 0, boots: new Map() }
  let value: unknown
  try {
    value = JSON.parse(await readText(WHAT, join(root.path, FLUSH_FILE)))
  } catch (error) {
    if (error instanceof SyntaxError || errnoOf(error) === 'ENOENT') return nothing
    throw error
  }
  if (typeof value !== 'object' || value === null) return nothing
  const recoveredIn =
    'recoveredIn' in value && typeof value.recoveredIn === 'string' ? value.recoveredIn : undefined
  const recoveredAtMs =
    'recoveredAtMs' in value && typeof value.recoveredAtMs === 'number' ? value.recoveredAtMs : 0
  const boots = new Map<string, FlushMark>()
  for (const item of 'boots' in value && Array.isArray(value.boots) ? value.boots : []) {
    const mark = readMark(item)
    if (mark !== undefined) boots.set(mark[0], mark[1])
  }
  return { recoveredIn, recoveredAtMs, boots }
}

function readMark(item: unknown): [string, FlushMark] | undefined {
  if (!Array.isArray(item)) return undefined
  const [boot, mark]: unknown[] = item
  if (typeof boot !== 'string' || typeof mark !== 'object' || mark === null) return undefined
  if (!('atMs' in mark) || typeof mark.atMs !== 'number') return undefined
  if (!('fileTimeMs' in mark) || typeof mark.fileTimeMs !== 'number') return undefined
  return [boot, { atMs: mark.atMs, fileTimeMs: mark.fileTimeMs }]
}
