import type { LayerPath } from '../../snapshotter/index.ts'
import { cleanBelowRoot } from '../context/clean-path.ts'
import { checkGlob, parseClass } from '../context/glob-syntax.ts'
import type { TreeView } from './copy-source.ts'

/** True when a source of COPY is a pattern: an unescaped `*`, `?` or `[` (features row D100). */
export function hasWildcard(text: string): boolean {
  return /^(?:[^*?[\\]|\\.)*[*?[]/su.test(text)
}

export interface SplitPattern {
  /** The part before the first component with a wildcard, relative to the root. */
  readonly base: LayerPath
  /** The other components. */
  readonly patterns: readonly string[]
}

/** Splits a source where its first wildcard is; a source without wildcards is all base. */
export function splitPattern(source: string): SplitPattern {
  const clean = cleanBelowRoot(source)
  const components = clean === '' ? [] : clean.split('/')
  const first = components.findIndex(hasWildcard)
  const end = first < 0 ? components.length : first
  return { base: components.slice(0, end).join('/'), patterns: components.slice(end) }
}

/**
 * Paths below `base` that match `patterns`, one for each component, in the order of a walk. Symlinks are no directories
 * here. `bad-pattern` for malformed patterns, whether something could match or not.
 */
export async function expandPattern(
  view: Pick<TreeView, 'list'>,
  base: LayerPath,
  patterns: readonly string[],
): Promise<LayerPath[]> {
  const [first, ...rest] = patterns.map(compileSegment)
  return first === undefined ? [] : expandSegments(view, base, first, rest)
}

async function expandSegments(
  view: Pick<TreeView, 'list'>,
  directory: LayerPath,
  matches: (name: string) => boolean,
  rest: readonly ((name: string) => boolean)[],
): Promise<LayerPath[]> {
  const found: LayerPath[] = []
  const [next, ...after] = rest
  for (const entry of await view.list(directory)) {
    if (!matches(entry.path.slice(entry.path.lastIndexOf('/') + 1))) {
      continue
    }
    if (next === undefined) {
      found.push(entry.path)
    } else if (entry.type === 'dir') {
      found.push(...(await expandSegments(view, entry.path, next, after)))
    }
  }
  return found
}

type Token =
  | { readonly kind: 'star' }
  | { readonly kind: 'char'; readonly matches: (char: string) => boolean }

/**
 * One component of a pattern in the syntax of Go's `filepath.Match`: `*`, `?`, `[a-z]`, `[^a-z]`, `\` before a literal
 * character. Fails with `bad-pattern`.
 */
export function compileSegment(pattern: string): (name: string) => boolean {
  checkGlob(pattern)
  const tokens = tokenize(pattern)
  return (name) => matchTokens(tokens, Array.from(name))
}

function tokenize(pattern: string): Token[] {
  const chars = Array.from(pattern)
  const tokens: Token[] = []
  for (let position = 0; position < chars.length; position += 1) {
    const char = chars[position]
    if (char === '*') {
      tokens.push({ kind: 'star' })
    } else if (char === '?') {
      tokens.push({ kind: 'char', matches: () => true })
    } else if (char === '[') {
      const { isNegated, ranges, end } = parseClass(chars, position + 1, pattern)
      const isInside = (other: string) =>
        ranges.some(
          ({ low, high }) => compareChars(low, other) <= 0 && compareChars(other, high) <= 0,
        )
      tokens.push({ kind: 'char', matches: (other) => isInside(other) !== isNegated })
      position = end - 1
    } else {
      position += char === '\\' ? 1 : 0
      const literal = chars[position]
      tokens.push({ kind: 'char', matches: (other) => other === literal })
    }
  }
  return tokens
}

function compareChars(a: string, b: string): number {
  return (a.codePointAt(0) ?? 0) - (b.codePointAt(0) ?? 0)
}

/** Only the last star is ever tried again, so the time is at most pattern times name. */
function matchTokens(tokens: readonly Token[], chars: readonly string[]): boolean {
  let token = 0
  let char = 0
  let starToken = -1
  let starChar = 0
  while (char < chars.length || token < tokens.length) {
    const current = tokens[token]
    const value = chars[char]
    if (current?.kind === 'star') {
      starToken = token
      starChar = char
      token += 1
    } else if (current !== undefined && value !== undefined && current.matches(value)) {
      token += 1
      char += 1
    } else if (starToken >= 0 && starChar < chars.length) {
      starChar += 1
      token = starToken + 1
      char = starChar
    } else {
      return false
    }
  }
  return true
}
