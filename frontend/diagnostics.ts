/** A place in a Dockerfile: 1-based lines, 0-based columns in UTF-16 units, end exclusive. */
export interface Range {
  readonly startLine: number
  readonly startColumn: number
  readonly endLine: number
  readonly endColumn: number
}
