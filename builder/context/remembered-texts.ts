import { randomUUID } from 'node:crypto'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, readText, writeText } from '../../snapshotter/index.ts'
import { digestHex } from '../../registry-client/oci/index.ts'
import { hashValue } from '../solver/canonical.ts'
import type { ContextParts } from './context-parts.ts'
import type { TextReader } from './dockerfile.ts'
import { markUsed } from './last-use.ts'

/** Dockerfiles and ignore files are smaller by far. */
const TEXT_LENGTH_MAX = 1 << 20
const WHAT = 'a file of a repository'

/**
 * Reads small files of a tree that never changes, such as a commit, and remembers for later builds what they hold, and which are not
 * there: a checkout for the Dockerfile alone takes as long as the repository is large. `identity` names all that the tree depends on.
 * A file that is missing or damaged costs time, nothing depends on it.
 */
export function rememberedReader(
  identity: string,
  read: TextReader,
  parts: Pick<ContextParts, 'contextsDirectory' | 'workDirectory'>,
): TextReader {
  return async (path) => {
    const name = `${digestHex(hashValue([identity, path]))}.text`
    const file = join(parts.contextsDirectory, name)
    const known = await recall(file)
    if (known !== undefined) {
      markUsed(file)
      return known.text
    }
    const text = await read(path)
    if ((text?.length ?? 0) <= TEXT_LENGTH_MAX) {
      await mkdir(parts.contextsDirectory, { recursive: true, mode: 0o700 })
      await remember(file, text, parts.workDirectory)
    }
    return text
  }
}

/** `null` stands for a path where nothing is. */
async function recall(file: string): Promise<{ readonly text: string | undefined } | undefined> {
  try {
    const value: unknown = JSON.parse(await readText(WHAT, file))
    return value === null || typeof value === 'string' ? { text: value ?? undefined } : undefined
  } catch (error) {
    const isAbsent = errnoOf(error) === 'ENOENT'
    if (isAbsent || error instanceof SyntaxError) return undefined
    throw error
  }
}

async function remember(
  file: string,
  text: string | undefined,
  workDirectory: string,
): Promise<void> {
  const temporary = join(workDirectory, `text-${randomUUID()}`)
  try {
    await writeText(WHAT, temporary, JSON.stringify(text ?? null), { flag: 'wx', mode: 0o600 })
    await rename(temporary, file)
  } finally {
    await rm(temporary, { force: true })
  }
}
