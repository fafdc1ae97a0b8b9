import { type Addon, type AddonMaker, type Cancellation, toKernelError } from './addon.ts'
import { checkHostPath, checkPackEntry } from './check-arguments.ts'
import type { LayerMaker, MakeOptions, PackEntry, SkippedPart } from './kernel-types.ts'
import { encodePackEntries } from './pack-columns.ts'

/** Entries for one crossing of the boundary. */
const BATCH_SIZE = 2048

/** A maker of the addon; its calls go one after the other. */
export class NativeMaker implements LayerMaker {
  readonly #maker: AddonMaker
  readonly #cancellation: Cancellation
  readonly #signal: AbortSignal
  readonly #cancel: () => void
  #work: Promise<unknown> = Promise.resolve()

  constructor(addon: Addon, options: MakeOptions) {
    options.signal.throwIfAborted()
    checkHostPath(options.root, 'the directory to make')
    this.#signal = options.signal
    this.#cancellation = new addon.Cancellation()
    this.#maker = addon.createMaker(
      options.root,
      options.whiteouts,
      options.userXattr,
      options.ownership === 'owners',
      options.files === 'moved',
      this.#cancellation,
    )
    this.#cancel = () => this.#cancellation.cancel()
    options.signal.addEventListener('abort', this.#cancel, { once: true })
  }

  async add(entries: readonly PackEntry[]): Promise<void> {
    for (const entry of entries) checkPackEntry(entry)
    for (let at = 0; at < entries.length; at += BATCH_SIZE) {
      const batch = encodePackEntries(entries.slice(at, at + BATCH_SIZE))
      await this.#next(() => this.#maker.add(batch))
    }
  }

  async finish(): Promise<readonly SkippedPart[]> {
    return await this.#next(() => this.#maker.finish())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener('abort', this.#cancel)
    this.#cancellation.cancel()
    // Whoever asked for the work was told how it ended.
    await Promise.allSettled([this.#work])
  }

  async #next<T>(run: () => Promise<T>): Promise<T> {
    this.#signal.throwIfAborted()
    const work = this.#work.then(run)
    this.#work = work
    try {
      return await work
    } catch (error) {
      this.#signal.throwIfAborted()
      throw toKernelError(error, 'make the layer, at')
    }
  }
}
