import type { PackEntry } from '../../snapshotter/index.ts'
import {
  type CallName,
  type FromWorker,
  packError,
  type ToWorker,
  type WorkerCalls,
} from './messages.ts'

/** One call's side of the channel. */
export interface CallContext {
  readonly signal: AbortSignal
  /** Resolves when the channel took the bytes. */
  readonly output: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => Promise<void>
  /** How many bytes a call is done with; for display. */
  readonly moved: (bytes: number) => void
  /** The entries that follow a `packEntries` or `makeLayer` call. */
  readonly entries: AsyncIterable<readonly PackEntry[]>
}

export type Handlers = {
  readonly [N in CallName]: (
    request: WorkerCalls[N]['request'],
    context: CallContext,
  ) => Promise<WorkerCalls[N]['result']>
}

/** Resolves when the message is on its way. */
export type Send = (message: FromWorker) => Promise<void>

/** Batches that may wait for the packer: a few, so that neither side idles. */
export const ENTRY_WINDOW = 4

/** Answers the planner's messages by calling `handlers`; every call is answered exactly once. */
export class WorkerServer {
  readonly #handlers: Handlers
  readonly #send: Send
  readonly #calls = new Map<
    number,
    { readonly controller: AbortController; readonly entries: EntryQueue }
  >()
  readonly #answers = new Set<Promise<void>>()

  constructor(handlers: Handlers, send: Send) {
    this.#handlers = handlers
    this.#send = send
  }

  receive(message: Exclude<ToWorker, { type: 'resize' }>): void {
    switch (message.type) {
      case 'call': {
        // Its failures are answers, so it never rejects.
        const answer = this.#answer(message.id, message.call)
        this.#answers.add(answer)
        void answer.then(() => this.#answers.delete(answer))
        return
      }
      case 'cancel':
        this.#calls.get(message.id)?.controller.abort()
        return
      case 'entries':
        this.#calls.get(message.id)?.entries.add(message.batch)
        return
      case 'entries-end':
        this.#calls.get(message.id)?.entries.end()
        return
      default:
        message satisfies never
    }
  }

  /** Aborts all calls and waits until each has cleaned up. */
  async stop(): Promise<void> {
    for (const { controller } of this.#calls.values()) controller.abort()
    await Promise.all(this.#answers)
  }

  async #answer(id: number, call: Extract<ToWorker, { type: 'call' }>['call']): Promise<void> {
    const controller = new AbortController()
    const entries = new EntryQueue(controller.signal, () => this.#send({ type: 'more', id }))
    this.#calls.set(id, { controller, entries })
    try {
      const value = await this.#dispatch(call, {
        signal: controller.signal,
        output: (stream, bytes) => this.#send({ type: 'output', id, stream, bytes }),
        // The channel keeps the order, and `send` never rejects.
        moved: (bytes) => void this.#send({ type: 'moved', id, bytes }),
        entries,
      })
      await this.#send({ type: 'result', id, value })
    } catch (error) {
      await this.#send({ type: 'error', id, error: packError(error) })
    } finally {
      this.#calls.delete(id)
    }
  }

  #dispatch(
    call: Extract<ToWorker, { type: 'call' }>['call'],
    context: CallContext,
  ): Promise<unknown> {
    const handlers = this.#handlers
    switch (call.name) {
      case 'unpackLayer':
        return handlers.unpackLayer(call.request, context)
      case 'run':
        return handlers.run(call.request, context)
      case 'packRun':
        return handlers.packRun(call.request, context)
      case 'readDiff':
        return handlers.readDiff(call.request, context)
      case 'makeLayer':
        return handlers.makeLayer(call.request, context)
      case 'packEntries':
        return handlers.packEntries(call.request, context)
      case 'readFile':
        return handlers.readFile(call.request, context)
      case 'removeTrees':
        return handlers.removeTrees(call.request, context)
      case 'treeSizes':
        return handlers.treeSizes(call.request, context)
      default:
        return call satisfies never
    }
  }
}

/** Batches from the channel for one reader; the sender keeps to the window, so this holds a few at most. */
class EntryQueue implements AsyncIterable<readonly PackEntry[]> {
  readonly #batches: (readonly PackEntry[])[] = []
  readonly #signal: AbortSignal
  readonly #more: () => Promise<void>
  #isEnded = false
  #wake: (() => void) | undefined

  constructor(signal: AbortSignal, more: () => Promise<void>) {
    this.#signal = signal
    this.#more = more
    signal.addEventListener('abort', () => this.#wake?.(), { once: true })
  }

  add(batch: readonly PackEntry[]): void {
    this.#batches.push(batch)
    this.#wake?.()
  }

  end(): void {
    this.#isEnded = true
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly PackEntry[]> {
    for (;;) {
      this.#signal.throwIfAborted()
      const batch = this.#batches.shift()
      if (batch !== undefined) {
        yield batch
        await this.#more()
        continue
      }
      if (this.#isEnded) return
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}
