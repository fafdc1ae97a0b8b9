import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { classifyInput } from '../../context/archive-bytes.ts'
import { CommandError } from '../errors.ts'
import { stdinChunks } from '../stdin-chunks.ts'
import { makeTemporaryDirectory } from './temporary-directory.ts'

/** What came in on stdin for `build -`. */
export type StdinInput =
  | { readonly kind: 'dockerfile'; readonly text: string }
  /** Spooled to a file, which disposing of the input removes. */
  | { readonly kind: 'archive'; readonly path: string }

/** Bytes looked at to tell an archive from a Dockerfile, as docker does. */
const PEEK_BYTES = 1024
/** A Dockerfile larger than this is a mistake (a Dockerfile is read into memory). */
const DOCKERFILE_BYTES_MAX = 16 * 1024 * 1024

/**
 * Reads a context from stdin (features rows C2, C3): a tar, plain or compressed with gzip, bzip2 or xz, or a Dockerfile
 * without a context. Errors: `context-unreadable` when nothing comes.
 */
export async function readStdinInput(
  stdin: NodeJS.ReadableStream,
  signal: AbortSignal,
): Promise<StdinInput & AsyncDisposable> {
  const chunks = stdinChunks(stdin, signal)
  const head = await peek(chunks)
  if (head.length === 0) {
    throw new CommandError(
      'context-unreadable',
      'could not read a context from stdin: it is empty',
      {
        hint: 'pipe a Dockerfile or a tar archive in, or give a directory instead of -',
      },
    )
  }
  if (classifyInput(head) === 'dockerfile') {
    const text = await readText(rest(head, chunks))
    return { kind: 'dockerfile', text, [Symbol.asyncDispose]: async () => {} }
  }
  const directory = await makeTemporaryDirectory('tsbuild-stdin-')
  const dispose = (): Promise<void> => rm(directory, { recursive: true, force: true })
  const path = join(directory, 'context.tar')
  try {
    await pipeline(Readable.from(rest(head, chunks)), createWriteStream(path), { signal })
  } catch (error) {
    await dispose()
    throw error
  }
  return { kind: 'archive', path, [Symbol.asyncDispose]: dispose }
}

/** The whole of stdin as the text of a Dockerfile (`-f -`). */
export function readStdinDockerfile(
  stdin: NodeJS.ReadableStream,
  signal: AbortSignal,
): Promise<string> {
  return readText(stdinChunks(stdin, signal))
}

async function peek(chunks: AsyncIterator<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = []
  let length = 0
  while (length < PEEK_BYTES) {
    const next = await chunks.next()
    if (next.done === true) {
      break
    }
    parts.push(next.value)
    length += next.value.length
  }
  return Buffer.concat(parts)
}

async function* rest(head: Buffer, chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield head
  yield* chunks
}

async function readText(chunks: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = []
  let length = 0
  for await (const chunk of chunks) {
    length += chunk.length
    if (length > DOCKERFILE_BYTES_MAX) {
      throw new CommandError(
        'context-unreadable',
        `could not read the Dockerfile from stdin: it is larger than ${DOCKERFILE_BYTES_MAX} bytes`,
      )
    }
    parts.push(chunk)
  }
  return Buffer.concat(parts).toString('utf8')
}
