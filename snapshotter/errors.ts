import type { LayerPath } from './layer/entry.ts'

export type SnapshotErrorCode =
  /** A parent's directory is not on disk. */
  | 'snapshot-layer-missing'
  /** More layers than the kernel stacks. */
  | 'snapshot-too-many-layers'
  /** A step made a name that no layer can hold (`.wh.…`). */
  | 'diff-name-reserved'
  /** overlayfs recorded a rename or a metadata-only copy: the upper directory is not a plain diff. */
  | 'diff-not-plain'

/** A failure of preparing, committing or comparing snapshots; system calls that fail are `KernelError`s or Node's own. */
export class SnapshotError extends Error {
  override readonly name = 'SnapshotError'
  readonly code: SnapshotErrorCode
  /** Inside the layer; undefined when it is about a whole layer. */
  readonly path: LayerPath | undefined

  constructor(
    code: SnapshotErrorCode,
    message: string,
    details: { readonly path?: LayerPath; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: details.cause })
    this.code = code
    this.path = details.path
  }
}
