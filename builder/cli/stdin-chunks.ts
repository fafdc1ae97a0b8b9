import { orAborted } from '../../registry-client/index.ts'

/** Bytes of stdin as they come; rejects with the signal's reason when aborted, though nobody may ever type anything. */
export async function* stdinChunks(
  stdin: NodeJS.ReadableStream,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const chunks = stdin[Symbol.asyncIterator]()
  for (;;) {
    // Each with a promise of its own: one for the whole stream would hold all that was read until the end.
    const next = await orAborted(chunks.next(), signal)
    if (next.done === true) return
    yield Buffer.from(next.value)
  }
}
