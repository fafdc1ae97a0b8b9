/** Where the lexer looks variables up. */
export interface Variables {
  get(name: string): string | undefined
  names(): Iterable<string>
}

/** No variable is set. */
export const NO_VARIABLES: Variables = { get: () => undefined, names: () => [] }

/**
 * Ordered environment of a stage. Setting a name again moves it to the end, as BuildKit's environment list does; the
 * order shows in the environment of RUN.
 */
export class Environment implements Variables {
  readonly #values: Map<string, string>

  constructor(values: Iterable<readonly [string, string]> = []) {
    this.#values = new Map(values)
  }

  get(name: string): string | undefined {
    return this.#values.get(name)
  }

  names(): Iterable<string> {
    return this.#values.keys()
  }

  set(name: string, value: string): void {
    this.#values.delete(name)
    this.#values.set(name, value)
  }

  delete(name: string): void {
    this.#values.delete(name)
  }

  clone(): Environment {
    return new Environment(this.#values)
  }

  /** `NAME=value` in order. */
  toList(): string[] {
    return Array.from(this.#values, ([name, value]) => `${name}=${value}`)
  }
}

/** Name and value of `NAME=value`; a text without `=` is a name with an empty value. */
export function splitAssignment(text: string): readonly [string, string] {
  const at = text.indexOf('=')
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}
