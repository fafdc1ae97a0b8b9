import type { LayerDirectory, PackEntry } from '../../snapshotter/index.ts'
import type { Worker } from '../worker/protocol.ts'
import type { PlannedEntries } from './pack-entries.ts'

/** Bytes of files that are handed on together: enough to keep the packer at work, and a small part of a large layer. */
const BATCH_BYTES = 32 * 1024 * 1024

/**
 * The directory of a layer while a worker makes it of planned entries. `entries` are the same with their bytes in the
 * directory, each as soon as it is there, so that packing them goes on beside the making.
 */
export class LayerMaking {
  readonly directory: LayerDirectory
  /** Settles when the directory is whole, or nothing is left of it. Errors: those of the worker's `makeLayer`. */
  readonly done: Promise<void>
  /** Their pages end when the directory is whole, and fail when it cannot be made. */
  readonly entries: PlannedEntries
  readonly #planned: PlannedEntries
  #madeCount = 0
  #isDone = false
  #wake: (() => void) | undefined

  constructor(
    planned: PlannedEntries,
    directory: LayerDirectory,
    maker: Pick<Worker, 'makeLayer'>,
    signal: AbortSignal,
  ) {
    this.directory = directory
    this.#planned = planned
    const root = `${directory.path}/fs`
    this.entries = {
      roots: new Set(planned.roots.size === 0 ? [] : [root]),
      pages: () => this.#madeBatches(root),
    }
    const request = { directory: directory.path }
    const onMade = (): void => {
      this.#madeCount += 1
      this.#wake?.()
    }
    this.done = maker.makeLayer(batchesOf(planned), request, signal, onMade).finally(() => {
      this.#isDone = true
      this.#wake?.()
    })
  }

  /** For one reader. */
  async *#madeBatches(root: string): AsyncGenerator<readonly PackEntry[]> {
    let count = 0
    for await (const batch of batchesOf(this.#planned)) {
      count += 1
      while (this.#madeCount < count && !this.#isDone) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
      if (this.#isDone) await this.done
      yield batch.map((entry) => inDirectory(entry, root))
    }
    await this.done
  }
}

function inDirectory(entry: PackEntry, root: string): PackEntry {
  return entry.type === 'file' && entry.source.kind === 'path'
    ? { ...entry, source: { kind: 'path', root, path: entry.path } }
    : entry
}

/** The same each time. */
async function* batchesOf(planned: PlannedEntries): AsyncGenerator<readonly PackEntry[]> {
  for await (const page of planned.pages()) {
    let start = 0
    let sizeBytes = 0
    for (const [index, entry] of page.entries()) {
      sizeBytes += entry.type === 'file' ? entry.sizeBytes : 0
      if (sizeBytes < BATCH_BYTES && index + 1 < page.length) continue
      yield page.slice(start, index + 1)
      start = index + 1
      sizeBytes = 0
    }
  }
}
