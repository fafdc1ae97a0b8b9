/**
 * Work asked for twice under one key is done once: later callers share the promise of the first. The entry stays
 * when the work succeeded, so that a key is done once per build; a failed one is forgotten.
 */
export class SingleFlight<Value> {
  readonly #flights = new Map<string, Promise<Value>>()

  run(key: string, work: () => Promise<Value>): Promise<Value> {
    const known = this.#flights.get(key)
    if (known !== undefined) {
      return known
    }
    const flight = work().catch((error: unknown) => {
      this.#flights.delete(key)
      throw error
    })
    this.#flights.set(key, flight)
    return flight
  }
}
