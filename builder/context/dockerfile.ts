import { createReadStream } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { errnoOf } from '../../snapshotter/index.ts'
import { ContextError } from './errors.ts'

/** A Dockerfile is read into memory; a larger one is a mistake. */
const TEXT_BYTES_MAX = 16 << 20

export interface DockerfileText {
  readonly text: string
  /** As messages call it. */
  readonly name: string
  /** Text of `<Dockerfile>.dockerignore`, which takes the place of the context's own (features row D122). */
  readonly ignoreText: string | undefined
}

/** Reads a small file by its path; undefined when there is none. */
export type TextReader = (path: string) => Promise<string | undefined>

/**
 * Reads the Dockerfile `path` and the ignore file next to it. Where `Dockerfile` is not there `dockerfile` will do, but
 * no other name is tried (features row D1). `dockerfile-missing` when there is none.
 */
export async function readDockerfile(path: string, read: TextReader): Promise<DockerfileText> {
  const names = basename(path) === 'Dockerfile' ? [path, join(dirname(path), 'dockerfile')] : [path]
  for (const name of names) {
    const text = await read(name)
    if (text !== undefined) {
      return { text, name, ignoreText: await read(`${path}.dockerignore`) }
    }
  }
  throw new ContextError(
    'dockerfile-missing',
    `failed to read dockerfile: could not open ${path}: no such file or directory`,
    { path },
  )
}

/** Reads files of the host, relative paths below `directory`. `context-unreadable` for files that cannot be read. */
export function hostReader(directory: string): TextReader {
  return async (path) => {
    const bytes = await readStart(resolve(directory, path)).catch((error: unknown) =>
      absent(path, error),
    )
    if (bytes !== undefined && bytes.length > TEXT_BYTES_MAX) {
      throw new ContextError(
        'context-too-large',
        `could not read ${path}: it is larger than 16 MiB`,
        { path },
      )
    }
    return bytes?.toString('utf8')
  }
}

/** As much of a file as tells that it is too large: what is no file may have no end. */
async function readStart(path: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of createReadStream(path, { end: TEXT_BYTES_MAX })) {
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Node's own words name the path a second time. */
const REASONS: ReadonlyMap<unknown, string> = new Map([
  ['EISDIR', 'it is a directory'],
  ['EACCES', 'permission denied'],
])

/** Undefined when the error says that there is no such file. */
function absent(path: string, error: unknown): undefined {
  const code = errnoOf(error)
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return undefined
  }
  const message = error instanceof Error ? error.message : String(error)
  const reason = REASONS.get(code) ?? message
  // No permission would make a directory a file.
  const kind = code === 'EISDIR' ? 'context-invalid' : 'context-unreadable'
  throw new ContextError(kind, `could not read ${path}: ${reason}`, {
    path,
    cause: error,
  })
}
