import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from '../../../snapshotter/index.ts'

/** In the state root: why the last collection behind a build failed, in one line. */
const FAILURE = 'collection-failed'

/** Does `collection`; that it failed, and why, is noted for the next build. One that works takes the note away. */
export async function notingFailure<T>(
  root: string,
  collection: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const file = join(root, FAILURE)
  try {
    const result = await collection()
    await rm(file, { force: true })
    return result
  } catch (error) {
    if (!signal.aborted) await writeFile(file, lineOf(error), { mode: 0o600 }).catch(ifDiskFails)
    throw error
  }
}

/** Why a collection failed since this was asked last; told once. */
export async function takeFailure(root: string): Promise<string | undefined> {
  const file = join(root, FAILURE)
  const line = await readFile(file, 'utf8').catch(ifDiskFails)
  if (line !== undefined) await rm(file, { force: true }).catch(ifDiskFails)
  return line
}

function lineOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.replaceAll(/\s+/g, ' ').slice(0, 1000)
}

/** A disk that fails here fails elsewhere too, where it matters. */
function ifDiskFails(error: unknown): undefined {
  if (errnoOf(error) === undefined) throw error
}
