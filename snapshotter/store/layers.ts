import { randomBytes } from 'node:crypto'
import { statSync } from 'node:fs'
import { readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type DiffId, digestHex, parseDiffId } from '../../registry-client/oci/index.ts'
import { isWholeContents } from '../layer/contents.ts'
import type { LayerDirectory } from '../snapshotter.ts'
import type { BlobExpectation, BlobStore } from './blobs.ts'
import { type LayerBlob, type LayerRecord, layerRecords } from './layer-record.ts'
import { type Hold, holdLayer } from './leases.ts'
import type { HeldLock, NamedLocks } from './locks.ts'
import { writeText } from './named-file.ts'
import type { RecordStore, RecordStoreOptions } from './records.ts'
import type { StateRoot } from './root.ts'

/** What the store knows of a layer, and has: everything named here was found on disk. */
export interface Layer {
  readonly diffId: DiffId
  readonly uncompressedSizeBytes: number | undefined
  readonly blobs: readonly LayerBlob[]
  /** File with the table of contents (layer/contents.ts). */
  readonly contents: string | undefined
  /** Unpacked, overlay form. */
  readonly directory: LayerDirectory | undefined
}

/** What `record` adds to what is known. Files become the store's. */
export interface LayerAddition {
  readonly uncompressedSizeBytes?: number
  /** Must be in the blob store. */
  readonly blob?: LayerBlob
  /** A finished contents file on the state root's filesystem: it is moved. */
  readonly contents?: string
  /** From `allocateDirectory`, filled. */
  readonly directory?: LayerDirectory
}

export interface LayerStoreOptions
  extends Pick<RecordStoreOptions<LayerRecord>, 'durability' | 'checkpoint'> {
  readonly root: StateRoot
  readonly locks: NamedLocks
  readonly blobs: Pick<BlobStore, 'has' | 'removeIfCorrupt'>
  readonly lease: {
    temporaryPath(kind: string): string
    hold(names: Iterable<Hold>, signal: AbortSignal): Promise<void>
  }
}

/**
 * Layers by diffId: `layers/records/<hex>` (which blobs, which directory), `layers/contents/<hex>`, `layers/directories/<id>/fs`.
 * A directory has an id of its own because a RUN's layer is used by the next step before its diffId is known.
 */
export class LayerStore {
  readonly #options: LayerStoreOptions
  readonly #records: RecordStore<LayerRecord>
  readonly #unrecorded = new Set<string>()

  constructor(options: LayerStoreOptions) {
    this.#options = options
    this.#records = layerRecords(options)
  }

  /** The layer, held until the lease ends; undefined when nothing of it is on disk. */
  async get(diffId: DiffId, signal: AbortSignal): Promise<Layer | undefined> {
    await this.#options.lease.hold([holdLayer(diffId)], signal)
    const record = await this.#records.get(digestHex(diffId))
    if (record === undefined) return undefined
    const blobs = await this.#presentBlobs(record.blobs, signal)
    const contents = record.hasContents ? ifPresent(this.#contentsPath(diffId)) : undefined
    const directory =
      record.directory === undefined
        ? undefined
        : ifPresent(join(this.#directoryPath(record.directory), 'fs'))
    return {
      diffId,
      uncompressedSizeBytes: record.uncompressedSizeBytes,
      blobs,
      contents,
      directory:
        directory === undefined || record.directory === undefined
          ? undefined
          : { path: this.#directoryPath(record.directory) },
    }
  }

  /** Adds to what is known of a layer and returns all of it. A directory that somebody else recorded first stays; ours becomes garbage. */
  async record(diffId: DiffId, addition: LayerAddition, signal: AbortSignal): Promise<Layer> {
    const hex = digestHex(diffId)
    await this.#options.lease.hold([holdLayer(diffId)], signal)
    await using _lock = await this.#options.locks.acquire(`layer-${hex}`, signal)
    const known = await this.get(diffId, signal)
    if (addition.contents !== undefined) await rename(addition.contents, this.#contentsPath(diffId))
    await this.#options.checkpoint?.('contents-moved')
    const directory = known?.directory ?? addition.directory
    if (directory !== undefined) await this.#markDirectory(directory, hex)
    await this.#options.checkpoint?.('directory-marked')
    const layer: Layer = {
      diffId,
      uncompressedSizeBytes: addition.uncompressedSizeBytes ?? known?.uncompressedSizeBytes,
      blobs: mergeBlobs(known?.blobs ?? [], addition.blob),
      contents: addition.contents === undefined ? known?.contents : this.#contentsPath(diffId),
      directory,
    }
    await this.#records.put(hex, {
      diffId,
      uncompressedSizeBytes: layer.uncompressedSizeBytes,
      blobs: layer.blobs,
      hasContents: layer.contents !== undefined,
      directory: directory === undefined ? undefined : nameOf(directory),
    })
    if (directory !== undefined) this.#unrecorded.delete(directory.path)
    this.#options.durability.note()
    return layer
  }

  /**
   * Looks at all that is stored of a layer but its directory, and removes what is damaged, so that it is made or fetched
   * again. True when something was.
   */
  async removeDamaged(diffId: DiffId, signal: AbortSignal): Promise<boolean> {
    const layer = await this.get(diffId, signal)
    let isDamaged = false
    for (const { digest } of layer?.blobs ?? []) {
      isDamaged = (await this.#options.blobs.removeIfCorrupt(digest, signal)) || isDamaged
    }
    if (layer?.contents === undefined || (await isWholeContents(layer.contents))) return isDamaged
    await rm(layer.contents, { force: true })
    return true
  }

  /**
   * Has the layer unpacked anew when it is needed, unless that happened already. The directory stays until garbage is
   * collected: another process may have it mounted.
   */
  async forgetDirectory(
    diffId: DiffId,
    directory: LayerDirectory,
    signal: AbortSignal,
  ): Promise<void> {
    const hex = digestHex(diffId)
    await using _lock = await this.#options.locks.acquire(`layer-${hex}`, signal)
    const record = await this.#records.get(hex)
    if (record?.directory !== nameOf(directory)) return
    await this.#records.put(hex, { ...record, directory: undefined })
  }

  /**
   * A place for a new layer, held until the lease ends; to stay, it must be recorded by then. Who fills it makes the
   * directory itself (it may belong to a user namespace). What is not recorded goes when the store is closed; what a killed
   * process leaves there the next one removes.
   */
  async allocateDirectory(signal: AbortSignal): Promise<LayerDirectory> {
    const id = randomBytes(12).toString('hex')
    await this.#options.lease.hold([`directory:${id}`], signal)
    const path = this.#directoryPath(id)
    this.#unrecorded.add(path)
    return { path }
  }

  /** Places that `allocateDirectory` gave and nobody recorded: of steps that failed, or that another process did first. */
  get unrecorded(): readonly string[] {
    return [...this.#unrecorded]
  }

  /** All layers with a record, in no order; nothing is held. */
  async diffIds(): Promise<DiffId[]> {
    const found = (await this.#records.names()).map((name) => parseDiffId(`sha256:${name}`))
    return found.filter((diffId) => diffId !== undefined)
  }

  /** One process at a time fetches or unpacks `diffId`; after waiting, look with `get` whether the work is done. */
  async lockUnpack(diffId: DiffId, signal: AbortSignal): Promise<HeldLock> {
    return this.#options.locks.acquire(`unpack-${digestHex(diffId)}`, signal)
  }

  #contentsPath(diffId: DiffId): string {
    return join(this.#options.root.layersDir, 'contents', digestHex(diffId))
  }

  #directoryPath(id: string): string {
    return join(this.#options.root.layersDir, 'directories', id)
  }

  /** Says in the directory whose it is, before the record says the same: see `isDirectoryRecorded`. */
  async #markDirectory(directory: LayerDirectory, hex: string): Promise<void> {
    await writeText('whose layer it is', join(directory.path, OWNER_FILE), `${hex}\n`)
  }

  async #presentBlobs(blobs: readonly LayerBlob[], signal: AbortSignal): Promise<LayerBlob[]> {
    const present = await Promise.all(
      blobs.map(async (blob) => {
        const expected: BlobExpectation = { digest: blob.digest, sizeBytes: blob.sizeBytes }
        return (await this.#options.blobs.has(expected, signal)) ? blob : undefined
      }),
    )
    return present.filter((blob) => blob !== undefined)
  }
}

/** Beside `fs/`: the hex of the diffId whose record names the directory. */
export const OWNER_FILE = 'diff-id'

/** Names of all layer directories. */
export async function listLayerDirectories(root: StateRoot): Promise<string[]> {
  return readdir(join(root.layersDir, 'directories'))
}

function nameOf(directory: LayerDirectory): string {
  return directory.path.slice(directory.path.lastIndexOf('/') + 1)
}

function mergeBlobs(
  known: readonly LayerBlob[],
  added: LayerBlob | undefined,
): readonly LayerBlob[] {
  if (added === undefined) return known
  return [...known.filter((blob) => blob.digest !== added.digest), added]
}

function ifPresent(path: string): string | undefined {
  return statSync(path, { throwIfNoEntry: false }) === undefined ? undefined : path
}
