import { basename, dirname, join } from 'node:path'
import type { SourceTree } from '../ops/copy-source.ts'
import { type Download, download, redactUrl } from '../ops/http.ts'
import { classifyInput, readHead } from './archive-bytes.ts'
import { openArchive } from './archive-context.ts'
import { archiveTime } from './archive-tree.ts'
import type { ContextParts, OpenContext, OpenOptions } from './context-parts.ts'
import { hostReader, type TextReader } from './dockerfile.ts'
import { httpAuthorization } from './remote-authorization.ts'
import { SingleFileTree } from './single-file-tree.ts'

const DOWNLOAD_BYTES_MAX = 2 ** 40
/** Enough for a tar's header. */
const HEAD_BYTES = 1024

/** What a URL leads to: an archive, a Dockerfile, or a file (features row C9). */
export async function openUrl(
  url: string,
  options: OpenOptions,
  parts: ContextParts,
): Promise<OpenContext> {
  const file = await fetchUrl({ url, checksum: undefined }, parts)
  const head = await readHead(file.file, HEAD_BYTES)
  const timeSec = () => timeOfDownload(file, parts)
  if (!options.isNamed && classifyInput(head) === 'archive') {
    return { ...(await openArchive(file.file, options, parts)), timeSec }
  }
  const tree = fileTree(file, 'context', options.description)
  const readText: TextReader = async (path) =>
    path === 'context' ? await hostReader('/')(file.file) : undefined
  const dockerfileText = options.isNamed ? undefined : await readText('context')
  return { tree: () => tree, readText, dockerfileText, timeSec }
}

/** One downloaded file as a tree; for ADD of a URL (features row D114). */
export async function openHttpTree(
  request: {
    readonly url: string
    readonly checksum: string | undefined
    readonly filename: string
  },
  parts: ContextParts,
): Promise<SourceTree> {
  return fileTree(await fetchUrl(request, parts), request.filename, redactUrl(request.url))
}

/** The time of a file behind a URL: what its server says, else the newest file of the archive that it is. */
export async function httpTime(
  request: { readonly url: string; readonly checksum: string | undefined },
  parts: ContextParts,
): Promise<number | undefined> {
  return await timeOfDownload(await fetchUrl(request, parts), parts)
}

async function timeOfDownload(file: Download, parts: ContextParts): Promise<number | undefined> {
  return file.lastModifiedSec ?? (await archiveTime(file.file, parts))
}

function fileTree(file: Download, name: string, description: string): SourceTree {
  return new SingleFileTree(description, {
    name,
    directory: dirname(file.file),
    hostName: basename(file.file),
    digest: file.digest,
    sizeBytes: file.sizeBytes,
    mtimeSec: file.lastModifiedSec ?? 0,
  })
}

async function fetchUrl(
  request: { readonly url: string; readonly checksum: string | undefined },
  parts: ContextParts,
): Promise<Download> {
  const authorization = await httpAuthorization(request.url, parts.readSecret)
  const { url, checksum } = request
  const found = await download(
    { url, checksum, ...(authorization === undefined ? {} : { headers: { authorization } }) },
    {
      directory: downloadsDirectory(parts),
      temporaryPath: parts.temporaryPath,
      sizeBytesMax: DOWNLOAD_BYTES_MAX,
      env: parts.env,
      signal: parts.signal,
    },
  )
  parts.onDownload?.(found.digest)
  return found
}

export function downloadsDirectory(parts: Pick<ContextParts, 'contextsDirectory'>): string {
  return join(parts.contextsDirectory, 'downloads')
}
