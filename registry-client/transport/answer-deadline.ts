import { RegistryError } from '../errors.ts'

/** Ends a request whose answer does not begin, whatever the server sends instead. */
export class AnswerDeadline implements Disposable {
  readonly #controller = new AbortController()
  readonly #host: string
  readonly #afterMs: number
  #timer: NodeJS.Timeout | undefined
  #isOver = false

  constructor(host: string, afterMs: number) {
    this.#host = host
    this.#afterMs = afterMs
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  start(): void {
    // The answer may come before the last of a body was taken.
    if (this.#isOver) return
    const host = this.#host
    const reason = `${host}: no answer in ${this.#afterMs / 1000} s`
    this.#timer ??= setTimeout(() => {
      this.#controller.abort(new RegistryError('timeout', reason, { host }))
    }, this.#afterMs)
  }

  /**
   * An upload takes as long as it takes: the answer is due when all of `chunks` was handed over, and before that the taking of
   * each one.
   */
  async *startedBy(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of chunks) {
      this.start()
      yield chunk
      this.#stop()
    }
    this.start()
  }

  [Symbol.dispose](): void {
    this.#isOver = true
    this.#stop()
  }

  #stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
