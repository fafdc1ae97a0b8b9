/** Go's `unicode.IsSpace`: what BuildKit takes for a blank where it trims or skips. */
const BLANK = /[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/

export function isBlank(char: string): boolean {
  const code = char.charCodeAt(0)
  if (code < 0x80) return code === 0x20 || (code >= 0x09 && code <= 0x0d)
  return BLANK.test(char)
}

export function trimStartBlanks(text: string): string {
  let start = 0
  while (start < text.length && isBlank(text.charAt(start))) start++
  return start === 0 ? text : text.slice(start)
}

export function trimBlanks(text: string): string {
  let end = text.length
  while (end > 0 && isBlank(text.charAt(end - 1))) end--
  return trimStartBlanks(end === text.length ? text : text.slice(0, end))
}

/**
 * What separates words of an instruction: narrower than a blank (no line feed, nothing beyond ASCII; features row D15).
 */
export const WORD_SEPARATOR: RegExp = /[\t\v\f\r ]+/

/** The text up to the first separator and the rest after it; the rest is undefined when there is no separator. */
export function cutFirstWord(text: string): readonly [string, string | undefined] {
  const found = WORD_SEPARATOR.exec(text)
  if (found === null) return [text, undefined]
  return [text.slice(0, found.index), text.slice(found.index + found[0].length)]
}

/** Parts around the first `separator`, or undefined when it does not occur. */
export function cut(text: string, separator: string): readonly [string, string] | undefined {
  const at = text.indexOf(separator)
  return at < 0 ? undefined : [text.slice(0, at), text.slice(at + separator.length)]
}
