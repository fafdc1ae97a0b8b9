import type { Range } from './diagnostics.ts'

/** A place as BuildKit's JSON results give it: whole lines. */
export interface JsonLocation {
  readonly ranges: readonly {
    readonly start: { readonly line: number }
    readonly end: { readonly line: number }
  }[]
}

export function jsonLocation(range: Range): JsonLocation {
  return { ranges: [{ start: { line: range.startLine }, end: { line: range.endLine } }] }
}

export function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
