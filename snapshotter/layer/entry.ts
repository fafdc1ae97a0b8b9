import type { Digest } from '../../registry-client/oci/index.ts'

/**
 * A path inside a layer: relative, no leading or trailing slash, no `.`/`..`/empty component; the root is ''.
 * Bytes that are not UTF-8 are lone surrogates U+DC80..U+DCFF, one per byte (see path-bytes.ts), so every name round-trips.
 */
export type LayerPath = string

/** Metadata that a tar entry carries; names follow pax(1) and the OCI image-spec layer.md. */
export interface EntryMetadata {
  /** Permission bits with setuid, setgid and sticky: 0..0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeSec: number
  /** Sorted by name; values are raw bytes. Only what belongs into a layer (features rows O22, O23). */
  readonly xattrs?: readonly { readonly name: string; readonly value: Uint8Array }[]
}

/** One entry of a layer: what its table of contents holds, in tar terms. `hardlink` targets are in the same layer. */
export type LayerEntry =
  | (EntryMetadata & { readonly type: 'dir'; readonly path: LayerPath })
  | (EntryMetadata & {
      readonly type: 'file'
      readonly path: LayerPath
      readonly sizeBytes: number
      /** sha256 of the file's bytes. */
      readonly digest: Digest
    })
  | (EntryMetadata & {
      readonly type: 'symlink'
      readonly path: LayerPath
      readonly target: string
    })
  | (EntryMetadata & {
      readonly type: 'hardlink'
      readonly path: LayerPath
      readonly target: LayerPath
    })
  | (EntryMetadata & {
      readonly type: 'char' | 'block'
      readonly path: LayerPath
      readonly major: number
      readonly minor: number
    })
  | (EntryMetadata & { readonly type: 'fifo'; readonly path: LayerPath })
  /** `.wh.<name>` in the tar: `path` is the removed path. */
  | { readonly type: 'whiteout'; readonly path: LayerPath }
  /** `.wh..wh..opq` in the tar: everything below `path` in lower layers is hidden. */
  | { readonly type: 'opaque'; readonly path: LayerPath }
