import { cleanPath } from './clean-path.ts'
import { compilePattern, type IgnorePattern } from './ignore-pattern.ts'

/**
 * Which paths a list of patterns names: the rules of `.dockerignore` and of `--exclude` (features rows D122-D130,
 * D107), those of moby/patternmatcher. The last pattern that matches a path, or a directory above it, decides.
 *
 * A tree is matched from its root down, a scope for each directory, because what matched a directory is remembered for
 * what is below it, and because a scope knows which of the patterns can match its children at all: that makes a
 * hundred patterns over 50,000 paths a matter of some 30 ms.
 */
export interface PathMatcher {
  /** Scope of the children of the root. */
  readonly root: MatchScope
  readonly hasPatterns: boolean
  /** True when a pattern is an exception (`!`): then what is below an excluded directory may be included. */
  readonly hasExceptions: boolean
  /** Whether `path` (relative, cleaned) is matched; convenience for single paths. */
  isMatch(path: string): boolean
}

/** The children of one directory. Paths are whole paths relative to the root, not names. */
export interface MatchScope {
  isMatch(path: string): boolean
  /** As `isMatch` for a directory, with the scope of its children. */
  enter(path: string): DirectoryMatch
}

export interface DirectoryMatch {
  readonly isMatch: boolean
  readonly scope: MatchScope
  /** True when the directory is matched and nothing below it can be unmatched: it need not be listed. */
  readonly isClosed: boolean
}

/** Patterns of an ignore file, in order, not compiled yet (features rows D124, D125). */
export function parseIgnoreFile(text: string): string[] {
  const patterns: string[] = []
  for (const line of text.replace(/^\uFEFF/, '').split(/\r?\n/)) {
    const trimmed = line.trim()
    if (line.startsWith('#') || trimmed === '') {
      continue
    }
    const isException = trimmed.startsWith('!')
    const rest = isException ? trimmed.slice(1).trim() : trimmed
    patterns.push(
      `${isException ? '!' : ''}${rest === '' ? '' : withoutLeadingSlash(cleanPath(rest))}`,
    )
  }
  return patterns
}

function withoutLeadingSlash(path: string): string {
  return path.length > 1 && path.startsWith('/') ? path.slice(1) : path
}

/** Compiles patterns; fails with `bad-pattern` naming the first one that is malformed. */
export function compileMatcher(sources: readonly string[]): PathMatcher {
  const patterns = sources.map(compilePattern).filter((pattern) => pattern !== undefined)
  const root = new Scope(patterns, [], new Uint8Array(patterns.length))
  return {
    root,
    hasPatterns: patterns.length > 0,
    hasExceptions: patterns.some((pattern) => pattern.isException),
    isMatch: (path) => isMatchFrom(root, path),
  }
}

function isMatchFrom(root: MatchScope, path: string): boolean {
  let scope = root
  for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
    scope = scope.enter(path.slice(0, slash)).scope
  }
  return scope.isMatch(path)
}

class Scope implements MatchScope {
  readonly #patterns: readonly IgnorePattern[]
  readonly #components: readonly string[]
  /** 1 where the pattern matched the directory of this scope: it covers all children. */
  readonly #inherited: Uint8Array
  /** Indexes of the patterns that cover the children or may match one of them, ascending. */
  readonly #candidates: readonly number[]

  constructor(
    patterns: readonly IgnorePattern[],
    components: readonly string[],
    inherited: Uint8Array,
  ) {
    this.#patterns = patterns
    this.#components = components
    this.#inherited = inherited
    this.#candidates = [...patterns.keys()].filter(
      (index) => inherited[index] === 1 || canMatchChild(patterns[index], components),
    )
  }

  isMatch(path: string): boolean {
    return this.#match(path, undefined)
  }

  enter(path: string): DirectoryMatch {
    const matched = new Uint8Array(this.#patterns.length)
    const isMatch = this.#match(path, matched)
    const components = [...this.#components, path.slice(path.lastIndexOf('/') + 1)]
    return {
      isMatch,
      scope: new Scope(this.#patterns, components, matched),
      isClosed:
        isMatch &&
        !this.#patterns.some(
          (pattern) => pattern.isException && canMatchBelow(pattern, components),
        ),
    }
  }

  #match(path: string, matched: Uint8Array | undefined): boolean {
    const lastUnit = path.charCodeAt(path.length - 1)
    let isMatch = false
    for (const index of this.#candidates) {
      const pattern = this.#patterns[index]
      if (pattern === undefined) {
        continue
      }
      // A pattern that cannot change the outcome is not looked at, and so does not count as having matched the
      // directory for what is below it. Docker's matcher does the same, and odd lists of exceptions depend on it.
      const isHit =
        this.#inherited[index] === 1 ||
        (pattern.isException === isMatch &&
          (pattern.lastUnit === undefined || pattern.lastUnit === lastUnit) &&
          pattern.matches(path))
      if (isHit) {
        isMatch = !pattern.isException
        if (matched !== undefined) {
          matched[index] = 1
        }
      }
    }
    return isMatch
  }
}

function canMatchChild(
  pattern: IgnorePattern | undefined,
  directory: readonly string[],
): pattern is IgnorePattern {
  return (
    pattern !== undefined &&
    (pattern.depth === undefined || pattern.depth === directory.length + 1) &&
    agrees(pattern.literalPrefix, directory)
  )
}

function canMatchBelow(pattern: IgnorePattern, directory: readonly string[]): boolean {
  return (
    (pattern.depth === undefined || pattern.depth > directory.length) &&
    agrees(pattern.literalPrefix, directory)
  )
}

/** True when neither list contradicts the other as far as both go. */
function agrees(prefix: readonly string[], directory: readonly string[]): boolean {
  const length = Math.min(prefix.length, directory.length)
  for (let index = 0; index < length; index += 1) {
    if (prefix[index] !== directory[index]) {
      return false
    }
  }
  return true
}
