import { ContextError } from './errors.ts'
import { checkGlob } from './glob-syntax.ts'
import { compileGoRegexp } from './go-regexp.ts'
import { cleanPath } from './clean-path.ts'

/**
 * One compiled pattern of an ignore list. `matches` looks at whole paths relative to the root; that a match of a
 * directory covers what is below it is the matcher's business.
 */
export interface IgnorePattern {
  /** As cleaned, without `!`. */
  readonly text: string
  /** `!pattern`: brings back what earlier patterns excluded (features row D127). */
  readonly isException: boolean
  readonly matches: (path: string) => boolean
  /** Components before the first one with a special character; matching paths begin with them. */
  readonly literalPrefix: readonly string[]
  /** UTF-16 unit that every matching path ends in; undefined when several can. A cheap test before `matches`. */
  readonly lastUnit: number | undefined
  /** Number of components of every matching path; undefined when `**` or a class that may hold `/` allows any. */
  readonly depth: number | undefined
}

/**
 * Compiles a pattern as Docker's matcher does (moby/patternmatcher; features rows D124-D128): blanks trimmed, cleaned
 * as a path, `*` and `?` within one component, `**` across any number, character classes as regular expressions.
 * Undefined for a blank pattern; `bad-pattern` for what Docker refuses.
 */
export function compilePattern(source: string): IgnorePattern | undefined {
  const trimmed = source.trim()
  if (trimmed === '') {
    return undefined
  }
  const cleaned = cleanPath(trimmed)
  const isException = cleaned.startsWith('!')
  const text = isException ? cleaned.slice(1) : cleaned
  if (text === '') {
    throw new ContextError('bad-pattern', 'illegal exclusion pattern: "!"')
  }
  checkGlob(text)
  return {
    text,
    isException,
    matches: compileMatch(text),
    literalPrefix: literalPrefixOf(text),
    lastUnit: literalSuffixOf(text).at(-1)?.charCodeAt(0),
    depth: /\*\*|\[/.test(text) ? undefined : text.split('/').length,
  }
}

/** Kinds of comparison in the matcher that is followed here; which one is chosen decides on odd patterns. */
type MatchKind = 'exact' | 'prefix' | 'suffix' | 'regexp'

function compileMatch(text: string): (path: string) => boolean {
  const { kind, regexp } = translate(text)
  switch (kind) {
    case 'exact':
      return (path) => path === text
    case 'prefix': {
      const prefix = text.slice(0, -2)
      return (path) => path.startsWith(prefix)
    }
    case 'suffix': {
      const suffix = text.slice(2)
      const whole = suffix.startsWith('/') ? suffix.slice(1) : undefined
      return (path) => path.endsWith(suffix) || path === whole
    }
    case 'regexp':
      return matchRegexp(compileGoRegexp(`${regexp}$`, text), literalSuffixOf(text))
  }
}

/** Most paths are told apart by how they end (`*.log`), which is faster to see than a regular expression is to run. */
function matchRegexp(
  matches: (path: string) => boolean,
  suffix: string,
): (path: string) => boolean {
  return (path) => path.endsWith(suffix) && matches(path)
}

/** A pattern that is being translated. */
interface Translation {
  kind: MatchKind
  regexp: string
}

/** `**`, with the slash after it; an escape; any other character. */
const TOKEN = /\*\*\/?|\\.?|./gsu

/**
 * The Go regular expression of a pattern and how it is compared. The translation knows nothing of character classes:
 * what is inside one is rewritten too, and passed on.
 */
function translate(text: string): Translation {
  const translation: Translation = { kind: 'exact', regexp: '^' }
  for (const match of text.matchAll(TOKEN)) {
    const [token] = match
    if (token.startsWith('**')) {
      const isEnd = match.index + token.length === text.length
      addAnyDepth(translation, { isStart: match.index === 0, isEnd })
    } else {
      translation.regexp += translateChar(token)
      translation.kind = /^[*?[\]]|^\\./su.test(token) ? 'regexp' : translation.kind
    }
  }
  return translation
}

function addAnyDepth(
  translation: Translation,
  { isStart, isEnd }: { readonly isStart: boolean; readonly isEnd: boolean },
): void {
  translation.regexp += isEnd ? '.*' : '(.*/)?'
  if (isStart) {
    translation.kind = 'suffix'
  } else {
    translation.kind = isEnd && translation.kind === 'exact' ? 'prefix' : 'regexp'
  }
}

function translateChar(char: string): string {
  if (char === '*') {
    return '[^/]*'
  }
  if (char === '?') {
    return '[^/]'
  }
  return '.+()|{}$'.includes(char) ? `\\${char}` : char
}

function literalPrefixOf(text: string): string[] {
  const components = text.split('/')
  const special = components.findIndex((component) => /[*?[\]\\^]/.test(component))
  return special < 0 ? components : components.slice(0, special)
}

/** What follows the last character with a meaning of its own; all matching paths end so. */
function literalSuffixOf(text: string): string {
  let start = text.length
  while (start > 0 && !'*?[]\\^/'.includes(text.charAt(start - 1))) {
    start -= 1
  }
  const end = text.slice(start)
  // After a backslash the first character is the escaped one.
  return text[start - 1] === '\\' ? Array.from(end).slice(1).join('') : end
}
