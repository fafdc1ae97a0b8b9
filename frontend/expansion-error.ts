/** A word that cannot be expanded: unbalanced quotes, a malformed `$` form. The message has BuildKit's words. */
export class ExpansionError extends Error {
  override readonly name = 'ExpansionError'
}
