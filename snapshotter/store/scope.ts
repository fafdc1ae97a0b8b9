/**
 * Things to undo, last first, when a block ends. `release` gives them up: the caller succeeded and owns what was made.
 * Stands in for AsyncDisposableStack, which Node 20 lacks. Every undo runs; the first failure is thrown at the end.
 */
export class DisposableScope implements AsyncDisposable {
  #undos: (() => unknown)[] = []

  defer(undo: () => unknown): void {
    this.#undos.push(undo)
  }

  use<T extends AsyncDisposable>(resource: T): T {
    this.defer(() => resource[Symbol.asyncDispose]())
    return resource
  }

  release(): void {
    this.#undos = []
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = []
    for (let undo = this.#undos.pop(); undo !== undefined; undo = this.#undos.pop()) {
      try {
        await undo()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
