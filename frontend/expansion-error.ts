/** A word that cannot be expanded: unbalanced quotes, a malformed `$` form. The message has BuildKit's words. */
export class ExpansionError extends Error {
  override readonly name = 'ExpansionError'
  /** Variables that were read before and are not set. */
  readonly missing: ReadonlySet<string>

  constructor(message: string, missing: ReadonlySet<string> = new Set()) {
    super(message)
    this.missing = missing
  }
}

/** Characters that variables may add to one word. The kernel refuses environment variables of an eighth of that. */
export const ADDED_LENGTH_MAX: number = 1 << 20

/** A few lines that double a value each would fill the memory of any machine. */
export function tooLong(): ExpansionError {
  return new ExpansionError(`the value is longer than ${ADDED_LENGTH_MAX} characters`)
}
