import { trimStartBlanks } from './blanks.ts'

/** Arguments given as a JSON array, or the text to be read in another way (features row D17). */
export type ExecForm =
  | { readonly kind: 'exec'; readonly args: readonly string[] }
  | { readonly kind: 'shell' }
  /** An array that holds something else than strings. */
  | { readonly kind: 'not-strings' }

// A JSON escape can name half a surrogate pair; Go reads it as U+FFFD.
const LONE_SURROGATE = /[\ud800-\udfff]/gu

/** Invalid JSON is shell form, whatever it looks like. */
export function readExecForm(text: string): ExecForm {
  const body = trimStartBlanks(text)
  if (!body.startsWith('[')) return { kind: 'shell' }
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    // By the rule above this is no error.
    return { kind: 'shell' }
  }
  if (!Array.isArray(value)) return { kind: 'shell' }
  const args: string[] = []
  for (const item of value as readonly unknown[]) {
    if (typeof item !== 'string') return { kind: 'not-strings' }
    args.push(item.replace(LONE_SURROGATE, '\ufffd'))
  }
  return { kind: 'exec', args }
}
