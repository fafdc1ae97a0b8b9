import { RegistryError } from '../errors.ts'
import { orAborted } from '../transport/or-aborted.ts'

interface Ending {
  /** Milliseconds since the epoch: from then on it is fetched anew. */
  readonly renewAtMs: number
}

/**
 * Values by key that are good for some time (tokens, logins): fetched by whoever needs one first, for all that wait for
 * it at the same time.
 */
export class SharedValues<Value extends Ending> {
  readonly #values = new Map<string, Promise<Value>>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  /** The value that is known, or what `fetch` gives. */
  async get(key: string, signal: AbortSignal, fetch: () => Promise<Value>): Promise<Value> {
    for (;;) {
      const known = this.#values.get(key)
      if (known === undefined) break
      const value = await orAborted(known.catch(orNone), signal)
      if (value !== undefined && value.renewAtMs > this.#now()) return value
      // Another may have begun to fetch it while this one waited.
      this.#forget(key, known)
    }
    const fetched = fetch()
    this.#values.set(key, fetched)
    // The failure reaches the caller; here it only must not be what the next caller gets.
    fetched.catch(() => this.#forget(key, fetched))
    return await fetched
  }

  /** Removes all values that are not to be used again. */
  async forget(isUnwanted: (value: Value) => boolean): Promise<void> {
    for (const [key, promise] of this.#values) {
      const value = await promise.catch(() => undefined)
      if (value !== undefined && isUnwanted(value)) this.#forget(key, promise)
    }
  }

  #forget(key: string, promise: Promise<Value>): void {
    if (this.#values.get(key) === promise) this.#values.delete(key)
  }
}

/**
 * A failure holds for all that wait: asking again with a wrong password locks accounts. But another's cancellation is
 * not ours.
 */
function orNone(error: unknown): undefined {
  if (error instanceof RegistryError) throw error
  return undefined
}
