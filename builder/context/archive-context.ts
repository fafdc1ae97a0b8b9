import { createReadStream, fstatSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { errnoOf } from '../../snapshotter/index.ts'
import { archiveTime, openArchiveTree } from './archive-tree.ts'
import { cleanBelowRoot } from './clean-path.ts'
import type { ContextParts, OpenContext, OpenOptions } from './context-parts.ts'
import type { TextReader } from './dockerfile.ts'
import { ContextError } from './errors.ts'

const TEXT_BYTES_MAX = 16 << 20

/** An archive, unpacked (features row C3). */
export async function openArchive(
  file: string,
  options: OpenOptions,
  parts: ContextParts,
): Promise<OpenContext> {
  const directory = parts.temporaryPath('archive')
  const { description } = options
  const tree = await openArchiveTree({
    kernel: parts.kernel,
    file,
    directory,
    description,
    signal: parts.signal,
  })
  return {
    tree: () => tree,
    readText: rootReader(directory, parts),
    dockerfileText: undefined,
    timeSec: () => archiveTime(file, parts),
  }
}

/** Reads files of a directory whose names and links are somebody else's. */
export function rootReader(root: string, parts: Pick<ContextParts, 'kernel'>): TextReader {
  return async (path) => {
    let fd: number
    try {
      fd = parts.kernel.openInRoot(root, cleanBelowRoot(path))
    } catch (error) {
      if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') {
        return undefined
      }
      throw error
    }
    const stream = createReadStream('', { fd })
    if (fstatSync(fd).size > TEXT_BYTES_MAX) {
      stream.destroy()
      throw new ContextError(
        'context-too-large',
        `could not read ${path}: it is larger than 16 MiB`,
        { path },
      )
    }
    return (await buffer(stream)).toString('utf8')
  }
}
