import { ContextError } from './errors.ts'

/**
 * Fails with `bad-pattern` when Go's `filepath.Match` reports a syntax error for `pattern` on every name: a class that
 * is not closed or is empty, a range without an end, a backslash at the end.
 */
export function checkGlob(pattern: string): void {
  const chars = Array.from(pattern)
  for (let position = 0; position < chars.length; position += 1) {
    if (chars[position] === '\\') {
      position += 1
      if (position >= chars.length) {
        throw badPattern(pattern)
      }
    } else if (chars[position] === '[') {
      position = parseClass(chars, position + 1, pattern).end - 1
    }
  }
}

export interface GlobClass {
  readonly isNegated: boolean
  readonly ranges: readonly { readonly low: string; readonly high: string }[]
  /** Position after `]`. */
  readonly end: number
}

/** The character class whose first character after `[` is at `start`. */
export function parseClass(chars: readonly string[], start: number, pattern: string): GlobClass {
  const isNegated = chars[start] === '^'
  let position = isNegated ? start + 1 : start
  const ranges: { low: string; high: string }[] = []
  const takeChar = (): string => {
    const char = chars[position]
    const isEscape = char === '\\'
    const taken = isEscape ? chars[position + 1] : char
    position += isEscape ? 2 : 1
    // A character is always followed by another: at least the closing bracket.
    if (
      taken === undefined ||
      (!isEscape && (taken === '-' || taken === ']')) ||
      position >= chars.length
    ) {
      throw badPattern(pattern)
    }
    return taken
  }
  while (chars[position] !== ']' || ranges.length === 0) {
    const low = takeChar()
    let high = low
    if (chars[position] === '-') {
      position += 1
      high = takeChar()
    }
    ranges.push({ low, high })
  }
  return { isNegated, ranges, end: position + 1 }
}

function badPattern(pattern: string): ContextError {
  return new ContextError('bad-pattern', `syntax error in pattern: ${pattern}`)
}
