const UNITS = 'kmgtp'
const SIZE = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i

/** Bytes of `64m`, `1.5GiB`, `100` (Docker's binary units), or undefined when it is no size. */
export function parseByteSize(text: string): number | undefined {
  const match = SIZE.exec(text)
  if (match === null) return undefined
  const power = UNITS.indexOf((match[2] ?? '').toLowerCase()) + 1
  const bytes = Math.trunc(Number(match[1]) * 1024 ** (match[2] === '' ? 0 : power))
  return Number.isSafeInteger(bytes) ? bytes : undefined
}
