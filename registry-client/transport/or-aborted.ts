/**
 * `work`, or the signal's reason as soon as it aborts: for waiting until somebody else's work ends, which goes on.
 */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  // What becomes of it when nobody waits any more is nobody's failure.
  work.catch(() => undefined)
  signal.throwIfAborted()
  let stop = (): void => undefined
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
  })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
