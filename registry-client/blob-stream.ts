import type { Descriptor } from './oci/index.ts'

/**
 * Takes the bytes of one blob, in order and each once: when a connection breaks, the download goes
 * on where it was. Exactly one of `commit` and `abort` ends it.
 */
export interface BlobSink {
  /**
   * The chunk is not changed afterwards, and may be kept. Resolve when there is room for the next.
   */
  write(chunk: Uint8Array): Promise<void> | void
  /** Digest and size are right: only now may the bytes get their final name. */
  commit(): Promise<void>
  /** The bytes are to be forgotten. */
  abort(cause: unknown): Promise<void>
}

/** The bytes of one blob, readable as often as it takes. */
export interface BlobSource {
  readonly descriptor: Descriptor
  /** The bytes from `startByte` on. */
  open(startByte: number): AsyncIterable<Uint8Array>
}

/** The bytes of a blob that is being made: readable again from the beginning. */
export interface GrowingSource {
  /** Each byte as soon as it is there. Ends with the blob; throws when there is not going to be one. */
  open(signal: AbortSignal): AsyncIterable<Uint8Array>
}

/**
 * Bytes of one blob moved so far, of `descriptor.sizeBytes`. Goes back when an upload starts again.
 */
export type BlobProgress = (movedBytes: number) => void
