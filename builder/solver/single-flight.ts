/**
 * Work asked for twice under one key is done once: later callers share the promise of the first. The entry stays
 * when the work succeeded, so that a key is done once per build; a failed one is forgotten.
 */
export class SingleFlight<Value> {
  readonly #flights = new Map<string, Flight<Value>>()

  /** `signal` may stop the work. Who asks after that does not get the failure: it is done again when the first has ended. */
  run(key: string, signal: AbortSignal, work: () => Promise<Value>): Promise<Value> {
    const known = this.#flights.get(key)
    if (known !== undefined && !known.signal.aborted) {
      return known.value
    }
    const value = (known === undefined ? work() : known.value.catch(work)).catch(
      (error: unknown) => {
        if (this.#flights.get(key)?.value === value) {
          this.#flights.delete(key)
        }
        throw error
      },
    )
    this.#flights.set(key, { value, signal })
    return value
  }
}

interface Flight<Value> {
  readonly value: Promise<Value>
  readonly signal: AbortSignal
}
