const utf8Strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Any lone surrogate: what only escaped bytes leave in a string. */
const LONE_SURROGATE = /\p{Surrogate}/u

/**
 * The bytes of a path. Lone surrogates U+DC80..U+DCFF stand for the byte 0x80..0xFF each, as `decodePath` made them;
 * any other lone surrogate is no byte and becomes U+FFFD, as everywhere in Node.
 */
export function encodePath(path: string): Buffer {
  if (!LONE_SURROGATE.test(path)) {
    return Buffer.from(path, 'utf8')
  }
  const parts: Buffer[] = []
  for (const character of path) {
    const code = character.codePointAt(0) ?? 0
    const isEscaped = code >= 0xdc80 && code <= 0xdcff
    parts.push(isEscaped ? Buffer.of(code - 0xdc00) : Buffer.from(character, 'utf8'))
  }
  return Buffer.concat(parts)
}

/**
 * The string of a path's bytes: UTF-8 where it is well-formed, else one lone surrogate U+DC00 + byte for each byte that
 * belongs to no well-formed sequence (the way of Python's `surrogateescape`, PEP 383). `encodePath` is its inverse.
 */
export function decodePath(bytes: Uint8Array): string {
  try {
    return utf8Strict.decode(bytes)
  } catch {
    // Not UTF-8 as a whole: escape below.
  }
  let out = ''
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at)
    if (length === 0) {
      out += String.fromCharCode(0xdc00 + (bytes[at] ?? 0))
      at += 1
    } else {
      out += utf8Strict.decode(bytes.subarray(at, at + length))
      at += length
    }
  }
  return out
}

/** Length of the well-formed UTF-8 sequence at `at` (Unicode 15, table 3-7); 0 when there is none. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] ?? 0
  if (lead < 0x80) {
    return 1
  }
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2
  if (lead < 0xc2 || lead > 0xf4) {
    return 0
  }
  for (let i = 1; i < length; i++) {
    if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) {
      return 0
    }
  }
  const second = bytes[at + 1] ?? 0
  const isMisplaced =
    (lead === 0xe0 && second < 0xa0) || // overlong
    (lead === 0xed && second > 0x9f) || // surrogates
    (lead === 0xf0 && second < 0x90) || // overlong
    (lead === 0xf4 && second > 0x8f) // above U+10FFFF
  return isMisplaced ? 0 : length
}
