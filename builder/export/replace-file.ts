import { randomBytes } from 'node:crypto'
import { rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/**
 * Has `write` make a file beside `path`, then gives it that name: whoever reads sees the old file or the whole new one. The
 * file beside it goes when something fails. Errors: those of `write`, and of the calls that make and name the file.
 */
export async function replaceFile(
  path: string,
  write: (temporary: string) => Promise<void>,
): Promise<void> {
  const name = `.tsbuild-${randomBytes(6).toString('hex')}.tmp`
  const temporary = join(dirname(path), name)
  try {
    await write(temporary)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}
