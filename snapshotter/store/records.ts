import { randomBytes } from 'node:crypto'
import { readFileSync, utimesSync } from 'node:fs'
import { link, mkdir, readFile, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Durability, WriteStamp } from './durability.ts'
import { errnoOf, readFailure } from './errors.ts'
import { checkedName } from './locks.ts'
import { writeText } from './named-file.ts'

/** Called at the named step of a write; a test that never returns from it is a process killed there. */
export type Checkpoint = (step: string) => void | Promise<void>

export interface RecordStoreOptions<T> {
  /** Where the records are, one file each. Made when the first is written. */
  readonly directory: string
  /** On the same filesystem; a file here is unfinished. */
  readonly temporaryPath: (kind: string) => string
  readonly durability: Durability
  /** The record in what JSON.parse gave, undefined when it is not one. Reads older versions if they are still understood. */
  readonly read: (value: unknown) => T | undefined
  readonly checkpoint?: Checkpoint
}

/**
 * Small JSON records under names of the pattern of `checkedName`. A record is there whole or not at all; one that is
 * damaged, or that a crash of the machine may have separated from what it speaks of, counts as absent and is removed.
 * `T` must be JSON data.
 */
export class RecordStore<T> {
  readonly #options: RecordStoreOptions<T>

  constructor(options: RecordStoreOptions<T>) {
    this.#options = options
  }

  /** Reads at once, not through node's threads: the way there and back takes ten times as long as the reading. */
  async get(name: string): Promise<T | undefined> {
    const path = this.#pathOf(name)
    let text: string
    try {
      text = readFileSync(path, 'utf8')
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw readFailure('a record', path, error)
    }
    const record = this.#parse(text)
    if (record === undefined) await this.#removeDamaged(path, text)
    return record
  }

  /** Replaces or makes it. What it speaks of must be complete on disk (not necessarily flushed) before. */
  async put(name: string, record: T): Promise<void> {
    const path = this.#pathOf(name)
    const temporary = await this.#write(path, record)
    try {
      await rename(temporary, path)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
      await mkdir(this.#options.directory, { recursive: true, mode: 0o700 })
      await rename(temporary, path)
    }
    await this.#options.checkpoint?.('renamed')
  }

  /** Absent is fine. */
  async remove(name: string): Promise<void> {
    await rm(this.#pathOf(name), { force: true })
  }

  /** Notes that it was used now (features row K24); absent is fine. */
  async touch(name: string): Promise<void> {
    const now = new Date()
    try {
      utimesSync(this.#pathOf(name), now, now)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
    }
  }

  async lastUsedMs(name: string): Promise<number | undefined> {
    return (await ignoreAbsent(stat(this.#pathOf(name))))?.mtimeMs
  }

  /** Names in no order; a record may be gone when it is read. */
  async names(): Promise<string[]> {
    return (await ignoreAbsent(readdir(this.#options.directory))) ?? []
  }

  async #write(path: string, record: T): Promise<string> {
    const stamp = this.#options.durability.stamp()
    const temporary = this.#temporaryPath()
    await this.#options.checkpoint?.('begun')
    const text = `${JSON.stringify({ stamp, record })}\n`
    await writeText(`the record ${path}`, temporary, text, { flag: 'wx', mode: 0o600 })
    await this.#options.checkpoint?.('written')
    return temporary
  }

  #parse(text: string): T | undefined {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (error) {
      if (error instanceof SyntaxError) return undefined
      throw error
    }
    if (typeof value !== 'object' || value === null || !('stamp' in value) || !('record' in value))
      return undefined
    const stamp = readStamp(value.stamp)
    if (stamp === undefined || !this.#options.durability.isTrusted(stamp)) return undefined
    return this.#options.read(value.record)
  }

  /** Only the very file that was read: somebody may have put a good record in its place meanwhile. */
  async #removeDamaged(path: string, text: string): Promise<void> {
    const aside = `${this.#temporaryPath()}-${randomBytes(4).toString('hex')}`
    await ignoreAbsent(rename(path, aside))
    const taken = await ignoreAbsent(readFile(aside, 'utf8'))
    // link(2), not rename: it does not replace a record that is newer still.
    if (taken !== undefined && taken !== text) await link(aside, path).catch(ignoreExisting)
    await rm(aside, { force: true })
  }

  #temporaryPath(): string {
    const { directory, temporaryPath } = this.#options
    return temporaryPath(basename(directory))
  }

  #pathOf(name: string): string {
    return join(this.#options.directory, checkedName(name))
  }
}

function readStamp(value: unknown): WriteStamp | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if (!('boot' in value) || typeof value.boot !== 'string') return undefined
  if (!('atMs' in value) || typeof value.atMs !== 'number') return undefined
  return { boot: value.boot, atMs: value.atMs }
}

async function ignoreAbsent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

function ignoreExisting(error: unknown): void {
  if (errnoOf(error) !== 'EEXIST') throw error
}
