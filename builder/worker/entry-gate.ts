import { ENTRY_WINDOW } from './server.ts'

/** Lets a few batches be under way at once. */
export class EntryGate {
  #room = ENTRY_WINDOW
  #isClosed = false
  #wake: (() => void) | undefined

  open(): void {
    this.#room += 1
    this.#wake?.()
  }

  close(): void {
    this.#isClosed = true
    this.#wake?.()
  }

  /** True when a batch may be sent; false when there is no point any more. */
  async pass(): Promise<boolean> {
    while (this.#room === 0 && !this.#isClosed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    this.#room -= 1
    return !this.#isClosed
  }
}
