import { readFile, rename, rm } from 'node:fs/promises'
import { errnoOf, writeText } from '../../snapshotter/index.ts'

/**
 * What an earlier build kept in a file to save time: nothing depends on it. Undefined when it is missing or damaged, or when
 * the disk does not give it; then it is made again.
 */
export async function recallJson(file: string): Promise<unknown> {
  try {
    const value: unknown = JSON.parse(await readFile(file, 'utf8'))
    return value
  } catch (error) {
    const errno = errnoOf(error)
    if (error instanceof SyntaxError || errno === 'ENOENT' || errno === 'EIO') return undefined
    throw error
  }
}

/** Keeps `value` in `file` for later builds; `temporary` is on the same file system, and nothing yet. */
export async function rememberJson(file: string, value: unknown, temporary: string): Promise<void> {
  try {
    await writeText(file, temporary, JSON.stringify(value), { flag: 'wx', mode: 0o600 })
    await rename(temporary, file)
  } finally {
    await rm(temporary, { force: true })
  }
}
