import type { AddCommand, CopyCommand } from './instructions/copy.ts'

/** COPY or ADD with its variables expanded. */
export interface ExpandedCopy {
  readonly command: AddCommand | CopyCommand
  readonly sources: readonly string[]
  readonly dest: string
  readonly chown: string
  readonly chmod: string
  /** Empty when not given. */
  readonly checksum: string
}
