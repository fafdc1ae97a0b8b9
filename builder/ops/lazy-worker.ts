import type { FirstUse, Worker } from '../worker/protocol.ts'

/** Starts the worker when something first needs it, and ends it with the build. A build that executes nothing has none. */
export class LazyWorker implements AsyncDisposable {
  readonly #start: (signal: AbortSignal, use: FirstUse) => Promise<Worker>
  readonly #onStart: (worker: Worker) => void
  #worker: Promise<Worker> | undefined

  constructor(
    start: (signal: AbortSignal, use: FirstUse) => Promise<Worker>,
    onStart: (worker: Worker) => void,
  ) {
    this.#start = start
    this.#onStart = onStart
  }

  get(signal: AbortSignal, use: FirstUse = {}): Promise<Worker> {
    this.#worker ??= this.#start(signal, use).then((worker) => {
      this.#onStart(worker)
      return worker
    })
    return this.#worker
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A worker that did not start was reported to whoever asked for it.
    const worker = await this.#worker?.catch(() => undefined)
    await worker?.[Symbol.asyncDispose]()
  }
}
