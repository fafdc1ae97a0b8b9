/** A place in a Dockerfile: 1-based lines, 0-based columns in UTF-16 units, end exclusive. */
export interface Range {
  readonly startLine: number
  readonly startColumn: number
  readonly endLine: number
  readonly endColumn: number
}

/** The place of a whole line. */
export function lineRange(line: number): Range {
  return { startLine: line, startColumn: 0, endLine: line, endColumn: 0 }
}
