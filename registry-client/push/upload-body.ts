import type { BlobProgress, BlobSource } from '../blob-stream.ts'
import type { RequestBody } from '../transport/http-message.ts'

/** A body of known length. */
export type SizedBody = Extract<RequestBody, { kind: 'stream' }> & { readonly sizeBytes: number }

/** The part of a blob that one request takes. */
export interface BlobPart {
  readonly start: number
  readonly length: number
}

export function blobHeaders(sizeBytes: number): Record<string, string> {
  return { 'content-type': 'application/octet-stream', 'content-length': String(sizeBytes) }
}

/** A part of a blob as a body. `onProgress` is told the position in the blob. */
export function partBody(source: BlobSource, part: BlobPart, onProgress: BlobProgress): SizedBody {
  return {
    kind: 'stream',
    sizeBytes: part.length,
    open: () => countedPart(source.open(part.start), part, onProgress),
  }
}

/** The first `length` bytes of `chunks`, reported as they are taken. */
async function* countedPart(
  chunks: AsyncIterable<Uint8Array>,
  { start, length }: BlobPart,
  onProgress: BlobProgress,
): AsyncGenerator<Uint8Array, void, undefined> {
  let sent = 0
  if (length === 0) return
  for await (const chunk of chunks) {
    const piece = chunk.byteLength > length - sent ? chunk.subarray(0, length - sent) : chunk
    yield piece
    sent += piece.byteLength
    onProgress(start + sent)
    if (sent === length) return
  }
}
