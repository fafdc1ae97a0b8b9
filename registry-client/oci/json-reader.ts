import { OciError, type OciErrorCode } from './errors.ts'

/**
 * Deeper than any real manifest or config; a bound because writing deeply nested JSON again
 * exhausts the stack.
 */
const DEPTH_MAX = 64

const OPENING = new Set([0x5b, 0x7b])
const CLOSING = new Set([0x5d, 0x7d])
const QUOTE = 0x22
const BACKSLASH = 0x5c

export type JsonObject = Readonly<Record<string, unknown>>

/**
 * Where a value was found, for messages: `manifest.layers[2].digest`, and the code of errors about
 * it.
 */
export interface JsonPlace {
  readonly path: string
  readonly code: OciErrorCode
}

/** The place of a member of the object or array at `place`. */
export function member(place: JsonPlace, key: string | number): JsonPlace {
  const suffix = typeof key === 'number' ? `[${key}]` : `.${key}`
  return { path: `${place.path}${suffix}`, code: place.code }
}

/** An error about the value at `place`. */
export function jsonError(place: JsonPlace, reason: string, cause?: unknown): OciError {
  return new OciError(place.code, `${place.path} ${reason}`, { cause })
}

/** Parses UTF-8 JSON of at most `bytesMax` bytes and bounded depth whose top level is an object. */
export function parseJsonObject(bytes: Uint8Array, place: JsonPlace, bytesMax: number): JsonObject {
  if (bytes.byteLength > bytesMax) {
    throw jsonError(place, `is ${bytes.byteLength} bytes long, more than the ${bytesMax} allowed`)
  }
  if (nestingDepth(bytes) > DEPTH_MAX) {
    throw jsonError(place, `is nested more than ${DEPTH_MAX} levels deep`)
  }
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw jsonError(place, 'is not valid JSON', cause)
  }
  return asObject(value, place)
}

function nestingDepth(bytes: Uint8Array): number {
  let depth = 0
  let deepest = 0
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index] ?? 0
    if (byte === QUOTE) index = endOfString(bytes, index)
    else if (OPENING.has(byte)) depth += 1
    else if (CLOSING.has(byte)) depth -= 1
    deepest = Math.max(deepest, depth)
  }
  return deepest
}

/** Where the string ends that begins at `start`; brackets inside it nest nothing. */
function endOfString(bytes: Uint8Array, start: number): number {
  let index = start + 1
  while (index < bytes.length && bytes[index] !== QUOTE) {
    index += bytes[index] === BACKSLASH ? 2 : 1
  }
  return index
}

export function asObject(value: unknown, place: JsonPlace): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw jsonError(place, `must be an object, not ${describe(value)}`)
  }
  return value as JsonObject
}

/**
 * Go writes an empty slice or map as null, so null and absent mean the same everywhere in OCI JSON.
 */
export function optional<T>(
  object: JsonObject,
  key: string,
  place: JsonPlace,
  read: (value: unknown, place: JsonPlace) => T,
): T | undefined {
  const value = Object.hasOwn(object, key) ? object[key] : undefined
  return value === undefined || value === null ? undefined : read(value, member(place, key))
}

export function required<T>(
  object: JsonObject,
  key: string,
  place: JsonPlace,
  read: (value: unknown, place: JsonPlace) => T,
): T {
  const value = optional(object, key, place, read)
  if (value === undefined) throw jsonError(member(place, key), 'is missing')
  return value
}

export function asString(value: unknown, place: JsonPlace): string {
  if (typeof value !== 'string') throw jsonError(place, `must be a string, not ${describe(value)}`)
  return value
}

export function asBoolean(value: unknown, place: JsonPlace): boolean {
  if (typeof value !== 'boolean')
    throw jsonError(place, `must be true or false, not ${describe(value)}`)
  return value
}

export function asInteger(value: unknown, place: JsonPlace): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
    throw jsonError(place, `must be a whole number, not ${describe(value)}`)
  }
  return value
}

export function asArrayOf<T>(
  read: (value: unknown, place: JsonPlace) => T,
): (value: unknown, place: JsonPlace) => T[] {
  return (value, place) => {
    if (!Array.isArray(value)) throw jsonError(place, `must be an array, not ${describe(value)}`)
    return value.map((item: unknown, index) => read(item, member(place, index)))
  }
}

/** A map from names to values; `__proto__` is a name like any other. */
export function asMapOf<T>(
  read: (value: unknown, place: JsonPlace) => T,
): (value: unknown, place: JsonPlace) => Record<string, T> {
  return (value, place) =>
    Object.fromEntries(
      Object.entries(asObject(value, place)).map(([key, item]) => [
        key,
        read(item, member(place, key)),
      ]),
    )
}

function describe(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `${JSON.stringify(value)}`.slice(0, 80)
}
