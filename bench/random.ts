/** Numbers from a seed, the same on every machine (mulberry32): 0 <= n < 1. */
export function seededRandom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const WORDS =
  'the quick brown fox function return const import export await class module layer digest {} () => ;'.split(
    ' ',
  )

/** Text like source code, which compresses about three to four times. */
export function sourceText(random: () => number, length: number): string {
  let text = ''
  while (text.length < length) {
    text += WORDS[Math.floor(random() * WORDS.length)]
    text += random() < 0.12 ? `${Math.floor(random() * 1e6).toString(36)}\n` : ' '
  }
  return text.slice(0, length)
}

/** A size of at least 200 bytes; most are small, a few are large, `mean` more on average. */
export function fileSize(random: () => number, mean: number): number {
  return 200 + Math.floor(-Math.log(1 - random()) * mean)
}
