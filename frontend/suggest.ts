/** Only names nearer than this are offered (BuildKit's and HCL's limit). */
const DISTANCE_LIMIT = 3

export interface SuggestOptions {
  /** Ignoring case, the answer is given in the case of the question. */
  readonly ignoresCase?: boolean
}

/** The option nearest to `text`, or undefined when none is near or one is equal (then the name was not the fault). */
export function suggest(
  text: string,
  choices: Iterable<string>,
  options: SuggestOptions = {},
): string | undefined {
  const ignoresCase = options.ignoresCase ?? false
  const wanted = ignoresCase ? text.toLowerCase() : text
  let best: string | undefined
  let bestDistance = DISTANCE_LIMIT
  for (const choice of choices) {
    const candidate = ignoresCase ? choice.toLowerCase() : choice
    if (candidate === wanted) return undefined
    if (Math.abs(candidate.length - wanted.length) >= bestDistance) continue
    const distance = editDistance(wanted, candidate)
    if (distance < bestDistance) {
      best = ignoresCase ? matchCase(candidate, text) : candidate
      bestDistance = distance
    }
  }
  return best === '' ? undefined : best
}

function matchCase(text: string, model: string): string {
  if (model === model.toLowerCase()) return text.toLowerCase()
  return model === model.toUpperCase() ? text.toUpperCase() : text
}

function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const current = [i]
    for (let j = 1; j <= to.length; j++) {
      const change = (previous[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1)
      current.push(Math.min(change, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1))
    }
    previous = current
  }
  return previous[to.length] ?? 0
}
