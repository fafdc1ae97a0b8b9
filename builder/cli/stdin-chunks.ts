/** Bytes of stdin as they come; rejects with the signal's reason when aborted, though nobody may ever type anything. */
export async function* stdinChunks(
  stdin: NodeJS.ReadableStream,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const aborted = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  // Seen by the race; where none goes on, nobody waits for it.
  aborted.catch(() => {})
  const chunks = stdin[Symbol.asyncIterator]()
  for (;;) {
    signal.throwIfAborted()
    const next = await Promise.race([chunks.next(), aborted])
    if (next.done === true) return
    yield Buffer.from(next.value)
  }
}
