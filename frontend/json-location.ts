import type { Range } from './diagnostics.ts'

/** A place as BuildKit's JSON results give it: one range for each line. */
export interface JsonLocation {
  readonly ranges: readonly {
    readonly start: { readonly line: number }
    readonly end: { readonly line: number }
  }[]
}

export function jsonLocation(range: Range): JsonLocation {
  const { startLine, endLine } = range
  const lines = Array.from({ length: endLine - startLine + 1 }, (_, index) => startLine + index)
  return { ranges: lines.map((line) => ({ start: { line }, end: { line } })) }
}

export function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
