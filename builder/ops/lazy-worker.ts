import type { FirstUse, Worker } from '../worker/protocol.ts'

/** Starts the worker when something first needs it, and ends it with the build. A build that executes nothing has none. */
export class LazyWorker implements AsyncDisposable {
  readonly #start: (signal: AbortSignal, use: FirstUse) => Promise<Worker>
  readonly #onStart: (worker: Worker) => void
  readonly #ending = new AbortController()
  #worker: Promise<Worker> | undefined

  constructor(
    start: (signal: AbortSignal, use: FirstUse) => Promise<Worker>,
    onStart: (worker: Worker) => void,
  ) {
    this.#start = start
    this.#onStart = onStart
  }

  /** `signal` stops the start: that of all who may ask, not of the one who asks first. */
  get(signal: AbortSignal, use: FirstUse = {}): Promise<Worker> {
    const either = AbortSignal.any([signal, this.#ending.signal])
    this.#worker ??= this.#start(either, use).then((worker) => {
      this.#onStart(worker)
      return worker
    })
    return this.#worker
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort()
    // A worker that did not start was reported to whoever asked for it.
    const worker = await this.#worker?.catch(() => undefined)
    await worker?.[Symbol.asyncDispose]()
  }
}
