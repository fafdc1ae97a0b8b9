interface Flight<Value> {
  readonly value: Promise<Value>
  readonly signal: AbortSignal
}

/**
 * As SingleFlight, for what keeps the signal that it was made under (a tree that is listed later): once that is aborted
 * it is of no use, and made anew for the next who asks.
 */
export class SignalFlight<Value> {
  readonly #flights = new Map<string, Flight<Value>>()

  run(
    key: string,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<Value>,
  ): Promise<Value> {
    const known = this.#flights.get(key)
    if (known !== undefined && !known.signal.aborted) return known.value
    const flight: Flight<Value> = {
      signal,
      value: work(signal).catch((error: unknown) => {
        if (this.#flights.get(key) === flight) this.#flights.delete(key)
        throw error
      }),
    }
    this.#flights.set(key, flight)
    return flight.value
  }
}
