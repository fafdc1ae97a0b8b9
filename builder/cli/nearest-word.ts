/**
 * The word of `candidates` that `word` was most likely meant to be, or undefined when none is close:
 * at most a third of the letters may differ.
 */
export function nearestWord(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), bestDistance)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Edits between two words, where two letters that changed places are one edit; any number >= `limit` stands for "too far". */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) {
    return limit
  }
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(cheapest({ a, b, i, j }, { before, row, next }))
    }
    before = row
    row = next
  }
  return row[b.length] ?? limit
}

/** Distance of the first `i` letters of `a` and the first `j` of `b`, from those that are shorter. */
function cheapest(
  {
    a,
    b,
    i,
    j,
  }: { readonly a: string; readonly b: string; readonly i: number; readonly j: number },
  rows: {
    readonly before: readonly number[]
    readonly row: readonly number[]
    readonly next: readonly number[]
  },
): number {
  const { before, row, next } = rows
  const substituted = cell(row, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)
  const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
  const swapped = isSwapped ? cell(before, j - 2) + 1 : Infinity
  return Math.min(substituted, swapped, cell(row, j) + 1, cell(next, j - 1) + 1)
}

function cell(row: readonly number[], index: number): number {
  return row[index] ?? Infinity
}
