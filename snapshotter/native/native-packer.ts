import type { DiffId, Digest } from '../../registry-client/oci/index.ts'
import type { LayerEntry } from '../layer/entry.ts'
import { type Addon, type AddonPacker, type Cancellation, toKernelError } from './addon.ts'
import { check, checkHostPath, checkPackEntry } from './check-arguments.ts'
import type { LayerPacker, PackEntry, PackOptions, PackPage, PackResult } from './kernel-types.ts'
import {
  decodePackEntries,
  encodePackEntries,
  type PackColumns,
  withDigests,
} from './pack-columns.ts'

/** Entries for one crossing of the boundary. */
const BATCH_SIZE = 2048

/** A packer of the addon. The first failure is told by every call after it; the output is removed then. */
export class NativePacker implements LayerPacker {
  readonly #packer: AddonPacker
  readonly #cancellation: Cancellation
  readonly #options: PackOptions
  readonly #cancel: () => void
  readonly #entries: PackEntry[] = []
  #isEnded = false
  #failure: { readonly error: unknown } | undefined
  #room: (() => void) | undefined

  constructor(addon: Addon, options: PackOptions) {
    options.signal.throwIfAborted()
    if (options.output !== undefined) {
      checkHostPath(options.output, 'the output')
    }
    if (options.contents !== undefined) {
      checkHostPath(options.contents, 'the table of contents')
    }
    if (options.partsTable !== undefined) {
      checkHostPath(options.partsTable, 'the table of parts')
    }
    check(
      options.level === undefined || Number.isInteger(options.level),
      `level ${options.level} is no whole number`,
    )
    this.#options = options
    this.#cancellation = new addon.Cancellation()
    this.#cancel = () => this.#cancellation.cancel()
    options.signal.addEventListener('abort', this.#cancel, { once: true })
    const level = options.level ?? -1
    this.#packer = addon.createPacker(
      options.output ?? '',
      options.compression,
      level,
      this.#cancellation,
      () => this.#room?.(),
      options.contents ?? '',
      options.partsTable ?? '',
    )
    this.#packer.done
      .catch((error: unknown) => {
        const isAborted =
          options.signal.aborted &&
          error instanceof Error &&
          'code' in error &&
          error.code === 'aborted'
        this.#failure = { error: isAborted ? options.signal.reason : toKernelError(error, 'pack') }
      })
      .finally(() => {
        options.signal.removeEventListener('abort', this.#cancel)
        this.#room?.()
      })
  }

  async add(page: PackPage): Promise<void> {
    check(!this.#isEnded, 'the packer has been finished')
    const isHeld = this.#options.contents === undefined
    if (!isEntries(page)) {
      if (isHeld) this.#entries.push(...decodePackEntries(page))
      await this.#addColumns(page)
      return
    }
    for (const entry of page) {
      checkPackEntry(entry)
    }
    for (let at = 0; at < page.length; at += BATCH_SIZE) {
      const batch = page.slice(at, at + BATCH_SIZE)
      if (isHeld) this.#entries.push(...batch)
      await this.#addColumns(encodePackEntries(batch))
    }
    this.#throwFailure()
  }

  async #addColumns(columns: PackColumns): Promise<void> {
    this.#throwFailure()
    const drained = new Promise<void>((resolve) => {
      this.#room = resolve
    })
    if (!this.#packer.add(columns)) {
      await drained
    }
    this.#throwFailure()
  }

  async finish(): Promise<PackResult & { readonly entries: readonly LayerEntry[] }> {
    check(!this.#isEnded, 'the packer has been finished')
    this.#isEnded = true
    this.#packer.end()
    await this.#settled()
    this.#throwFailure()
    const result = await this.#packer.done
    const hasOutput = this.#options.output !== undefined
    return {
      diffId: result.diffId as DiffId,
      uncompressedSizeBytes: result.uncompressedSizeBytes,
      digest: hasOutput ? (result.digest as Digest) : undefined,
      sizeBytes: hasOutput ? result.sizeBytes : undefined,
      takenOverBytes: result.takenOverBytes,
      engine: result.engine,
      entries: withDigests(this.#entries, result.fileDigests),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isEnded) {
      this.#isEnded = true
      this.#cancellation.cancel()
    }
    await this.#settled()
  }

  /** The failure itself is in #failure. */
  async #settled(): Promise<void> {
    await Promise.allSettled([this.#packer.done])
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) {
      throw this.#failure.error
    }
  }
}

function isEntries(page: PackPage): page is readonly PackEntry[] {
  return Array.isArray(page)
}
