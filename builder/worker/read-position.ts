import { readdir, readFile, readlink } from 'node:fs/promises'

/** Often enough for a display, and nothing beside what unpacking costs. */
const INTERVAL_MS = 250
const DESCRIPTORS = '/proc/self/fd'

/**
 * Tells now and then how far this process has read the first of `paths` that it has open, until it is disposed. Whoever
 * reads need not count: the kernel knows where each descriptor stands (proc(5), fdinfo). Without /proc nothing is told.
 */
export function watchPosition(
  paths: readonly string[],
  onBytes: (bytes: number) => void,
): AsyncDisposable {
  let looking: Promise<void> | undefined
  const look = async (): Promise<void> => {
    const bytes = await positionOf(paths)
    if (bytes !== undefined) onBytes(bytes)
  }
  const timer = setInterval(() => {
    looking ??= look().finally(() => {
      looking = undefined
    })
  }, INTERVAL_MS)
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      await looking
    },
  }
}

/** undefined: none of `paths` is open. */
export async function positionOf(paths: readonly string[]): Promise<number | undefined> {
  const wanted = new Set(paths)
  for (const fd of await readdir(DESCRIPTORS).catch(ifGone)) {
    const target = await readlink(`${DESCRIPTORS}/${fd}`).catch(() => '')
    if (!wanted.has(target)) continue
    const info = await readFile(`/proc/self/fdinfo/${fd}`, 'utf8').catch(() => '')
    const position = /^pos:\s*(\d+)$/m.exec(info)?.[1]
    if (position !== undefined) return Number(position)
  }
  return undefined
}

/** A display is not worth a failure. */
function ifGone(): string[] {
  return []
}
