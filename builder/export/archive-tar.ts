import { createReadStream } from 'node:fs'
import { once } from 'node:events'
import { pack, type Pack } from 'tar-stream'
import type { LayoutFile } from './layout-files.ts'

const READ_CHUNK_BYTES = 1 << 20
const EPOCH = new Date(0)

/** What the writer tells about the bytes it has taken in. */
export type ByteCounter = (file: LayoutFile, currentBytes: number, isDone: boolean) => void

/**
 * The files as one tar, streamed: the reader's pace is the writer's. Times and owners are zero and modes fixed, so equal
 * files give equal bytes.
 */
export async function* archiveTar(
  files: readonly LayoutFile[],
  onBytes: ByteCounter,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const archive = pack()
  const feeding = feed(archive, files, onBytes, signal).catch((error: unknown) => {
    archive.destroy(error instanceof Error ? error : new Error(String(error)))
  })
  for await (const chunk of archive) {
    const bytes: unknown = chunk
    if (bytes instanceof Uint8Array) {
      yield bytes
    }
  }
  await feeding
}

async function feed(
  archive: Pack,
  files: readonly LayoutFile[],
  onBytes: ByteCounter,
  signal: AbortSignal,
): Promise<void> {
  for (const name of directoriesOf(files)) {
    await new Promise<void>((done, fail) => {
      archive.entry(
        { name: `${name}/`, type: 'directory', mode: 0o755, mtime: EPOCH },
        settle(done, fail),
      )
    })
  }
  for (const file of files) {
    signal.throwIfAborted()
    await addFile(archive, file, onBytes, signal)
  }
  archive.finalize()
}

async function addFile(
  archive: Pack,
  file: LayoutFile,
  onBytes: ByteCounter,
  signal: AbortSignal,
): Promise<void> {
  const { content, name } = file
  const sizeBytes = content instanceof Uint8Array ? content.byteLength : content.sizeBytes
  await new Promise<void>((done, fail) => {
    const header = {
      name,
      size: sizeBytes,
      mode: name.startsWith('blobs/') ? 0o444 : 0o644,
      mtime: EPOCH,
    }
    const entry = archive.entry(header, settle(done, fail))
    // Destroying the archive destroys the entry with the same error, which reaches the caller from there.
    entry.on('error', fail)
    const chunks =
      content instanceof Uint8Array
        ? [content]
        : createReadStream(content.path, { highWaterMark: READ_CHUNK_BYTES, signal })
    writeAll(entry, chunks, (currentBytes) => onBytes(file, currentBytes, false)).catch(fail)
  })
  onBytes(file, sizeBytes, true)
}

async function writeAll(
  entry: NodeJS.WritableStream,
  chunks: Iterable<Uint8Array> | AsyncIterable<unknown>,
  onBytes: (currentBytes: number) => void,
): Promise<void> {
  let written = 0
  for await (const chunk of chunks) {
    if (!(chunk instanceof Uint8Array)) {
      throw new TypeError('a file was read as text')
    }
    if (!entry.write(chunk)) {
      await once(entry, 'drain')
    }
    written += chunk.byteLength
    onBytes(written)
  }
  entry.end()
}

/** Parents of the files, each once, parents first. */
function directoriesOf(files: readonly LayoutFile[]): string[] {
  const directories = new Set<string>()
  for (const { name } of files) {
    for (let slash = name.indexOf('/'); slash >= 0; slash = name.indexOf('/', slash + 1)) {
      directories.add(name.slice(0, slash))
    }
  }
  return [...directories].sort()
}

function settle(done: () => void, fail: (error: Error) => void): (error?: Error | null) => void {
  return (error) => {
    if (error === null || error === undefined) {
      done()
    } else {
      fail(error)
    }
  }
}
