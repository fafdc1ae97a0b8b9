/**
 * Values as Go prints them. Image history and BuildKit's messages are made with Go's verbs, and tools compare the text
 * (features row O12).
 */

const NAMED_ESCAPES: ReadonlyMap<string, string> = new Map([
  ['\x07', '\\a'],
  ['\b', '\\b'],
  ['\f', '\\f'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
  ['\v', '\\v'],
  ['\\', '\\\\'],
  ['"', '\\"'],
])
/** Most text is this alone; the classes of Unicode cost a millisecond when they are first used. */
const PLAIN = /^[ !#-[\]-~]*$/
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u

/** `%q` of a string. */
export function goQuote(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`
  let out = '"'
  for (const char of text) {
    const named = NAMED_ESCAPES.get(char)
    if (named !== undefined) out += named
    else if (PRINTABLE.test(char)) out += char
    else out += escapeCodePoint(char.codePointAt(0) ?? 0)
  }
  return `${out}"`
}

function escapeCodePoint(code: number): string {
  if (code < 0x80) return `\\x${code.toString(16).padStart(2, '0')}`
  if (code <= 0xffff) return `\\u${code.toString(16).padStart(4, '0')}`
  return `\\U${code.toString(16).padStart(8, '0')}`
}

/** `%q` of a list of strings: `["a" "b"]`. */
export function goQuoteList(texts: readonly string[]): string {
  return `[${texts.map(goQuote).join(' ')}]`
}

/** `%v` of a list of strings: `[a b]`. */
export function goList(texts: readonly string[]): string {
  return `[${texts.join(' ')}]`
}

const NANOSECONDS: ReadonlyMap<string, bigint> = new Map([
  ['ns', 1n],
  ['us', 1_000n],
  ['µs', 1_000n],
  ['μs', 1_000n],
  ['ms', 1_000_000n],
  ['s', 1_000_000_000n],
  ['m', 60_000_000_000n],
  ['h', 3_600_000_000_000n],
])
const DURATION_PART = /(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/y
const DURATION_MAX = 2n ** 63n

/** Nanoseconds of a Go duration (`1h2m3.5s`, `-1s`, `0`), or undefined when it is not one or does not fit 64 bits. */
export function parseGoDuration(text: string): bigint | undefined {
  const sign = /^[+-]/.exec(text)?.[0] ?? ''
  const body = text.slice(sign.length)
  if (body === '0') return 0n
  if (body === '') return undefined
  let total = 0n
  let at = 0
  while (at < body.length) {
    DURATION_PART.lastIndex = at
    const part = DURATION_PART.exec(body)
    const nanoseconds = part === null ? undefined : partNanoseconds(part)
    if (part === null || nanoseconds === undefined) return undefined
    total += nanoseconds
    if (total >= DURATION_MAX) return undefined
    at += part[0].length
  }
  return sign === '-' ? -total : total
}

/** What Go says of a text that `parseGoDuration` refuses. */
export function goDurationFault(text: string): string {
  const body = text.replace(/^[+-]/, '')
  const parts =
    body.match(/^(?:\d+\.?\d*|\.\d+)[^.\d]*(?:[.\d]|$)/) === null
      ? []
      : [...body.matchAll(/[.\d]+([^.\d]*)/g)]
  for (const [, unit = ''] of parts) {
    if (unit === '') return `time: missing unit in duration ${goQuote(text)}`
    if (!NANOSECONDS.has(unit))
      return `time: unknown unit ${goQuote(unit)} in duration ${goQuote(text)}`
  }
  return `time: invalid duration ${goQuote(text)}`
}

function partNanoseconds(part: RegExpExecArray): bigint | undefined {
  const [, whole = '', decimals = '', name = ''] = part
  const unit = NANOSECONDS.get(name)
  if (unit === undefined || (whole === '' && decimals === '')) return undefined
  // More digits are below a nanosecond for every unit.
  const digits = decimals.slice(0, 18)
  return BigInt(whole || '0') * unit + (BigInt(digits || '0') * unit) / 10n ** BigInt(digits.length)
}

/** `time.Duration.String()` of a whole number of nanoseconds. */
export function goDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return '0s'
  if (nanoseconds < 0) return `-${goDuration(-nanoseconds)}`
  if (nanoseconds < 1e3) return `${nanoseconds}ns`
  if (nanoseconds < 1e6) return `${fraction(BigInt(nanoseconds), 1_000n)}µs`
  if (nanoseconds < 1e9) return `${fraction(BigInt(nanoseconds), 1_000_000n)}ms`
  const total = BigInt(Math.round(nanoseconds))
  const minutes = total / 60_000_000_000n
  const seconds = `${fraction(total % 60_000_000_000n, 1_000_000_000n)}s`
  if (minutes === 0n) return seconds
  const hours = minutes / 60n
  return hours === 0n ? `${minutes}m${seconds}` : `${hours}h${minutes % 60n}m${seconds}`
}

function fraction(value: bigint, unit: bigint): string {
  const rest = value % unit
  if (rest === 0n) return String(value / unit)
  const digits = String(rest)
    .padStart(String(unit).length - 1, '0')
    .replace(/0+$/, '')
  return `${value / unit}.${digits}`
}

/** `strconv.ParseBool`, or undefined when it is none of Go's spellings. */
export function parseGoBool(text: string): boolean | undefined {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false
  return undefined
}
