import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { digestHex } from '../../registry-client/oci/index.ts'
import { hashValue } from '../solver/canonical.ts'
import type { ContextParts } from './context-parts.ts'
import type { TextReader } from './dockerfile.ts'
import { markUsed } from './last-use.ts'
import { recallJson, rememberJson } from './remembered-json.ts'

/** Dockerfiles and ignore files are smaller by far. */
const TEXT_LENGTH_MAX = 1 << 20

/**
 * Reads small files of a tree that never changes, such as a commit, and remembers for later builds what they hold, and which are not
 * there: a checkout for the Dockerfile alone takes as long as the repository is large. `identity` names all that the tree depends on.
 * A file that is missing or damaged costs time, nothing depends on it.
 */
export function rememberedReader(
  identity: string,
  read: TextReader,
  parts: Pick<ContextParts, 'contextsDirectory' | 'temporaryPath'>,
): TextReader {
  return async (path) => {
    const name = `${digestHex(hashValue([identity, path]))}.text`
    const file = join(parts.contextsDirectory, name)
    const known = await recallJson(file)
    // `null` stands for a path where nothing is.
    if (known === null || typeof known === 'string') {
      markUsed(file)
      return known ?? undefined
    }
    const text = await read(path)
    if ((text?.length ?? 0) <= TEXT_LENGTH_MAX) {
      await mkdir(parts.contextsDirectory, { recursive: true, mode: 0o700 })
      await rememberJson(file, text ?? null, parts.temporaryPath('text'))
    }
    return text
  }
}
