/**
 * One way in which a server wants to be convinced (RFC 9110, 11.6.1). Scheme and parameter names
 * are in lower case.
 */
export interface Challenge {
  readonly scheme: string
  readonly parameters: ReadonlyMap<string, string>
}

/** Longer headers are not challenges but attacks on the parser. */
const LENGTH_MAX = 16 * 1024

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))/y
const QUOTED = /"((?:[^"\\]|\\.)*)"/y
const SPACES = /[ \t]+/y
const BLANKS = /[\s,]*/y
const EQUALS = /\s*=\s*/y

/**
 * The challenges in a WWW-Authenticate header, in order. Several may stand in one header, separated
 * by the same commas as their parameters. What does not parse ends the list: challenges before it
 * still count.
 */
export function parseChallenges(header: string | undefined): Challenge[] {
  if (header === undefined || header.length > LENGTH_MAX) return []
  const scanner = new Scanner(header)
  const challenges: Challenge[] = []
  scanner.take(BLANKS)
  while (!scanner.isAtEnd) {
    const scheme = scanner.take(TOKEN)
    if (scheme === undefined) break
    challenges.push({ scheme: scheme.toLowerCase(), parameters: parseParameters(scanner) })
  }
  return challenges
}

function parseParameters(scanner: Scanner): Map<string, string> {
  const parameters = new Map<string, string>()
  // Schemes that we do not speak (Negotiate) have one opaque value instead of parameters.
  if (scanner.take(SPACES) !== undefined) scanner.take(TOKEN68)
  for (;;) {
    scanner.take(BLANKS)
    const start = scanner.position
    const name = scanner.take(TOKEN)
    if (name === undefined) return parameters
    if (scanner.take(EQUALS) === undefined) {
      // A word without a value is the next scheme.
      scanner.position = start
      return parameters
    }
    const value = scanner.takeQuoted() ?? scanner.take(TOKEN)
    if (value === undefined) return parameters
    // The first value wins: a later duplicate must not replace a realm that was already seen.
    const key = name.toLowerCase()
    if (!parameters.has(key)) parameters.set(key, value)
  }
}

class Scanner {
  readonly #text: string
  position = 0

  constructor(text: string) {
    this.#text = text
  }

  get isAtEnd(): boolean {
    return this.position >= this.#text.length
  }

  /** What the sticky pattern matches here; nothing is consumed when it does not. */
  take(pattern: RegExp): string | undefined {
    return this.#match(pattern)?.[0]
  }

  takeQuoted(): string | undefined {
    return this.#match(QUOTED)?.[1]?.replaceAll(/\\(.)/gs, '$1')
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.position
    const match = pattern.exec(this.#text)
    if (match === null) return undefined
    this.position = pattern.lastIndex
    return match
  }
}
