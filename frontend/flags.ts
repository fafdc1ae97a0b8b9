import { suggest } from './suggest.ts'

/** What an instruction accepts: a flag may be given once, except `list`. */
export type FlagKind = 'boolean' | 'text' | 'list'

/** Flags of one instruction, checked against what it accepts (features row D16). */
export interface Flags {
  isSet(name: string): boolean
  boolean(name: string): boolean
  text(name: string): string | undefined
  list(name: string): readonly string[]
}

/** Why the flags are refused; `focus` is the flag as written. */
export interface FlagFault {
  readonly fault: string
  readonly focus: string
  readonly suggestion?: string | undefined
}

/** Reads `--name[=value]` words. */
export function readFlags(
  words: readonly string[],
  accepted: Readonly<Record<string, FlagKind>>,
): Flags | FlagFault {
  const values = new Map<string, string[]>()
  for (const word of words) {
    const fault = readFlag(word, accepted, values)
    if (fault !== undefined) return fault
  }
  return {
    isSet: (name) => values.has(name),
    boolean: (name) => values.get(name)?.[0]?.toLowerCase() === 'true',
    text: (name) => values.get(name)?.[0],
    list: (name) => values.get(name) ?? [],
  }
}

function readFlag(
  word: string,
  accepted: Readonly<Record<string, FlagKind>>,
  values: Map<string, string[]>,
): FlagFault | undefined {
  const at = word.indexOf('=')
  const written = at < 0 ? word : word.slice(0, at)
  const value = at < 0 ? undefined : word.slice(at + 1)
  const name = written.slice(2)
  const kind = Object.hasOwn(accepted, name) ? accepted[name] : undefined
  if (kind === undefined) {
    const suggestion = suggest(name, Object.keys(accepted))
    return { fault: `unknown flag: ${written}`, focus: written, suggestion }
  }
  const known = values.get(name)
  if (known !== undefined && kind !== 'list') {
    return { fault: `duplicate flag specified: ${written}`, focus: written }
  }
  const fault = checkValue(written, value, kind)
  if (fault !== undefined) return { fault, focus: word }
  if (known === undefined) values.set(name, [value ?? 'true'])
  else known.push(value ?? 'true')
  return undefined
}

function checkValue(
  written: string,
  value: string | undefined,
  kind: FlagKind,
): string | undefined {
  if (kind !== 'boolean') {
    return value === undefined ? `missing a value on flag: ${written}` : undefined
  }
  if (value === undefined) return undefined
  if (value === '') return `missing a value on flag: ${written}`
  const lower = value.toLowerCase()
  if (lower === 'true' || lower === 'false') return undefined
  return `expecting boolean value for flag ${written}, not: ${value}`
}
