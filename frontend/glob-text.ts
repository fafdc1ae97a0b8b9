/**
 * The patterns of `${name#pattern}` and `${name/pattern/text}`: `*` and `?` only, no brackets (features rows D33, D34). As
 * in Go's regexp neither matches a line feed. Matching never backtracks over more than one star, so a hostile pattern
 * costs at most length of pattern times length of text.
 */
export type GlobText = readonly (readonly GlobItem[])[]

/** A literal character, or undefined for `?`. */
type GlobItem = string | undefined

/** `}` and `/` are escaped for the sake of `${}`: their backslash is no part of the pattern. */
const ESCAPABLE: ReadonlySet<string> = new Set(['*', '?', '\\', '}', '/'])
/** A character, with the backslash before it. */
const ITEM = /\\?./gsu

interface GlobMatch {
  readonly start: number
  readonly end: number
}

/** Pieces between the stars of `pattern`, or the bad escape in it. */
export function parseGlobText(pattern: string): GlobText | { readonly badEscape: string } {
  const pieces: GlobItem[][] = [[]]
  for (const item of pattern.match(ITEM) ?? []) {
    if (item === '*') pieces.push([])
    else if (!item.startsWith('\\')) pieces.at(-1)?.push(item === '?' ? undefined : item)
    else if (ESCAPABLE.has(item.slice(1))) pieces.at(-1)?.push(item.slice(1))
    else return { badEscape: item }
  }
  return pieces
}

/** `text` without the shortest (or longest) start that matches. */
export function trimGlobPrefix(glob: GlobText, text: string, isGreedy: boolean): string {
  const chars = Array.from(text)
  const end = matchAt(glob, chars, 0, isGreedy)
  return end === undefined ? text : chars.slice(end).join('')
}

/** `text` without the shortest (or longest) end that matches. */
export function trimGlobSuffix(glob: GlobText, text: string, isGreedy: boolean): string {
  const mirrored = glob.map((piece) => piece.toReversed()).toReversed()
  const chars = Array.from(text).toReversed()
  const end = matchAt(mirrored, chars, 0, isGreedy)
  return end === undefined ? text : chars.slice(end).toReversed().join('')
}

/** Replaces the first (or every) leftmost-longest match. */
export function replaceGlob(
  glob: GlobText,
  text: string,
  options: { readonly replacement: (match: string) => string; readonly isGlobal: boolean },
): string {
  const chars = Array.from(text)
  const out: string[] = []
  let copied = 0
  let from = 0
  while (from <= chars.length) {
    const match = findFrom(glob, chars, from)
    if (match === undefined) break
    // An empty match right behind a match does not count.
    if (match.end > match.start || match.start > copied || out.length === 0) {
      out.push(...chars.slice(copied, match.start))
      out.push(options.replacement(chars.slice(match.start, match.end).join('')))
      copied = match.end
      if (!options.isGlobal) break
    }
    from = match.end > match.start ? match.end : match.end + 1
  }
  for (let i = copied; i < chars.length; i++) out.push(chars[i] ?? '')
  return out.join('')
}

function findFrom(glob: GlobText, chars: readonly string[], from: number): GlobMatch | undefined {
  const hasLeadingStar = glob.length > 1 && glob[0]?.length === 0
  let start = from
  while (start <= chars.length) {
    const end = matchAt(glob, chars, start, true)
    if (end !== undefined) return { start, end }
    // With a star first, or with the first piece found and a later one missing, no other start in this line can match.
    const first = glob[0] ?? []
    if (hasLeadingStar || (glob.length > 1 && isPieceAt(first, chars, start))) {
      const lineFeed = chars.indexOf('\n', start)
      if (lineFeed < 0) return undefined
      start = lineFeed + 1
    } else start++
  }
  return undefined
}

/** End of the match that starts at `start`; the nearest or the farthest one. */
function matchAt(
  glob: GlobText,
  chars: readonly string[],
  start: number,
  isGreedy: boolean,
): number | undefined {
  const first = glob[0] ?? []
  if (!isPieceAt(first, chars, start)) return undefined
  let at = start + first.length
  for (let index = 1; index < glob.length; index++) {
    const piece = glob[index] ?? []
    const isLast = index === glob.length - 1
    const found = isGreedy && isLast ? lastPiece(piece, chars, at) : firstPiece(piece, chars, at)
    if (found === undefined) return undefined
    at = found + piece.length
  }
  return at
}

function firstPiece(
  piece: readonly GlobItem[],
  chars: readonly string[],
  from: number,
): number | undefined {
  for (let at = from; at <= chars.length; at++) {
    if (isPieceAt(piece, chars, at)) return at
    if (chars[at] === '\n') return undefined
  }
  return undefined
}

function lastPiece(
  piece: readonly GlobItem[],
  chars: readonly string[],
  from: number,
): number | undefined {
  let limit = from
  while (limit < chars.length && chars[limit] !== '\n') limit++
  for (let at = limit; at >= from; at--) if (isPieceAt(piece, chars, at)) return at
  return undefined
}

function isPieceAt(piece: readonly GlobItem[], chars: readonly string[], at: number): boolean {
  if (at + piece.length > chars.length) return false
  for (let i = 0; i < piece.length; i++) {
    const wanted = piece[i]
    const char = chars[at + i]
    if (wanted === undefined ? char === '\n' : char !== wanted) return false
  }
  return true
}
