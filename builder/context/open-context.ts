import { createReadStream, fstatSync, utimesSync } from 'node:fs'
import { mkdir, open, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { parseGitUrl } from '../../frontend/index.ts'
import { type Digest, digestHex, digestOf } from '../../registry-client/oci/index.ts'
import type { Kernel } from '../../snapshotter/index.ts'
import { EMPTY_VIEW } from '../ops/copy-place.ts'
import type { SourceTree } from '../ops/copy-source.ts'
import { type Download, download, redactUrl } from '../ops/http.ts'
import type { ContextLocation } from '../request.ts'
import { sniffCompression, startsWithTarHeader } from './archive-bytes.ts'
import { archiveTime, openArchiveTree } from './archive-tree.ts'
import { cleanBelowRoot } from './clean-path.ts'
import { ContextState } from './context-state.ts'
import { DirectoryTree } from './directory-tree.ts'
import { hostReader, type TextReader } from './dockerfile.ts'
import { ContextError } from './errors.ts'
import { GitTree } from './git-tree.ts'
import { compileMatcher, parseIgnoreFile } from './ignore.ts'
import { httpAuthorization, type SecretReader } from './remote-authorization.ts'
import { SingleFileTree } from './single-file-tree.ts'
import { StatCache } from './stat-cache.ts'

const TEXT_BYTES_MAX = 16 << 20
const DOWNLOAD_BYTES_MAX = 2 ** 40

/** Locations whose files lie on the host once they are opened; images are the image store's. */
export type FilesLocation = Exclude<ContextLocation, { kind: 'image' | 'oci-layout' }>

export interface ContextParts {
  readonly kernel: Pick<
    Kernel,
    'listDirectories' | 'hashFiles' | 'readLayer' | 'openInRoot' | 'treeState'
  >
  /** Directory that lasts: stat caches and downloads. */
  readonly contextsDirectory: string
  /** Told of every download that is used. */
  readonly onDownload?: (digest: Digest) => void
  /** Directory of this build for everything unfinished or unpacked, on the same file system. */
  readonly workDirectory: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Secrets of the build, for servers that want to know who asks (features rows D114, D121). */
  readonly readSecret: SecretReader
  /** Socket of the agent that `--ssh default` names, for repositories (features rows C7, C34). */
  readonly sshAgent: () => Promise<string | undefined>
  readonly signal: AbortSignal
}

export interface OpenOptions {
  /** How messages call it: `the build context`, `context base`. */
  readonly description: string
  /** Text that takes the place of the directory's own `.dockerignore`. */
  readonly ignoreText: string | undefined
  /** The main context unpacks an archive behind a URL; a named one is the file itself (features rows C9, C12). */
  readonly isNamed: boolean
  /** A repository keeps its `.git` also where the URL does not ask for it (features row D50). */
  readonly keepsGitDirectory?: boolean
}

/** A context that can be copied from. */
export interface OpenContext {
  readonly tree: SourceTree
  /** Reads a file of the context by its path in it, links followed inside it only. */
  readonly readText: TextReader
  /** Set when the location was a Dockerfile itself (features row C9). */
  readonly dockerfileText: string | undefined
  /** When its contents were made, for SOURCE_DATE_EPOCH (features row D48); undefined for directories. */
  timeSec(): Promise<number | undefined>
  /** Keeps what was learned for the next build; to be called when the build has ended, however. */
  save(): Promise<void>
}

/**
 * Opens a build context, wherever it lies (features rows C1-C9, C12): directories are read in place and filtered by
 * their `.dockerignore` (D122, D123), archives unpacked, repositories checked out, URLs downloaded. Errors: `ContextError`,
 * and `CopyError` of downloads and git.
 */
export async function openContext(
  location: FilesLocation,
  options: OpenOptions,
  parts: ContextParts,
): Promise<OpenContext> {
  switch (location.kind) {
    case 'none':
      return emptyContext(options.description)
    case 'directory':
      return await openDirectory(location.path, options, parts)
    case 'archive':
      return await openArchive(location.path, options, parts)
    case 'git':
      return await openGit(location.url, options, parts)
    case 'http':
      return await openUrl(location.url, options, parts)
  }
}

function emptyContext(description: string): OpenContext {
  const tree: SourceTree = {
    ...EMPTY_VIEW,
    description,
    prefetch: () => Promise.resolve(),
    fileDigests: () => Promise.resolve([]),
    source: (path) => ({ kind: 'path', root: '/', path }),
  }
  return {
    tree,
    readText: () => Promise.resolve(undefined),
    dockerfileText: undefined,
    timeSec: () => Promise.resolve(undefined),
    save: () => Promise.resolve(),
  }
}

async function openDirectory(
  path: string,
  options: OpenOptions,
  parts: ContextParts,
): Promise<OpenContext> {
  const root = await canonicalDirectory(path)
  const readText = hostReader(root)
  const ignoreText = options.ignoreText ?? (await readText('.dockerignore')) ?? ''
  await mkdir(parts.contextsDirectory, { recursive: true, mode: 0o700 })
  const memory = join(parts.contextsDirectory, digestHex(digestOf(root)))
  const [statFile, closedFile] = [`${memory}.stat`, `${memory}.closed`]
  for (const file of [statFile, closedFile]) markUsed(file)
  const { kernel, workDirectory, signal } = parts
  const patterns = parseIgnoreFile(ignoreText)
  const tree = new DirectoryTree({
    kernel,
    root,
    description: options.description,
    ignore: compileMatcher(patterns),
    ignoreDescription: 'excluded by .dockerignore',
    ownership: 'root',
    statCache: () => StatCache.open({ file: statFile, workDirectory }),
    state: new ContextState({
      kernel,
      root,
      patterns,
      file: closedFile,
      workDirectory,
      signal,
    }),
    signal,
  })
  return {
    tree,
    readText,
    dockerfileText: undefined,
    timeSec: () => Promise.resolve(undefined),
    save: () => tree.save(),
  }
}

/** What is known of a context that does not change is not written anew: its time is what `prune` goes by (row K24). */
function markUsed(file: string): void {
  const now = new Date()
  try {
    utimesSync(file, now, now)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
}

/** The real path of a context directory; `context-missing` when it is none. */
export async function canonicalDirectory(path: string): Promise<string> {
  try {
    const root = await realpath(path)
    if ((await stat(root)).isDirectory()) {
      return root
    }
  } catch (error) {
    throw new ContextError(
      'context-missing',
      `unable to prepare context: path "${path}" not found`,
      { cause: error, path },
    )
  }
  throw new ContextError(
    'context-missing',
    `unable to prepare context: path "${path}" is not a directory`,
    { path },
  )
}

async function openArchive(
  file: string,
  options: OpenOptions,
  parts: ContextParts,
): Promise<OpenContext> {
  const directory = join(parts.workDirectory, `archive-${digestHex(digestOf(file)).slice(0, 16)}`)
  const { description } = options
  const tree = await openArchiveTree({
    kernel: parts.kernel,
    file,
    directory,
    description,
    signal: parts.signal,
  })
  return {
    tree,
    readText: rootReader(directory, parts),
    dockerfileText: undefined,
    timeSec: () => archiveTime(file, parts),
    save: () => Promise.resolve(),
  }
}

async function openGit(
  url: string,
  options: OpenOptions,
  parts: ContextParts,
): Promise<OpenContext> {
  const source = parseGitUrl(url)
  if (source === undefined || 'fault' in source) {
    const reason = source === undefined ? 'it is no URL of a repository' : source.fault
    throw new ContextError(
      'context-invalid',
      `could not use ${redactUrl(url)} as a context: ${reason}`,
    )
  }
  // `github.com/owner/name` has no scheme: for git itself it would be a local path.
  const remote = source.looksLocal ? `https://${source.remote}` : source.remote
  const { ref, subdir, checksum, submodules = true } = source
  const keepGitDir = source.keepGitDir === true || options.keepsGitDirectory === true
  const { mtime = 'checkout', fetchByCommit } = source
  const tree = await GitTree.open(
    { remote, ref, subdir, checksum, keepGitDir, submodules, mtime, fetchByCommit },
    options.description,
    parts,
  )
  return {
    tree,
    readText: async (path) => await rootReader((await tree.checkout()).root, parts)(path),
    dockerfileText: undefined,
    timeSec: async () => (await tree.checkout()).timeSec,
    save: () => Promise.resolve(),
  }
}

async function openUrl(
  url: string,
  options: OpenOptions,
  parts: ContextParts,
): Promise<OpenContext> {
  const file = await fetchUrl({ url, checksum: undefined }, parts)
  const head = await readHead(file.file)
  const timeSec = () => timeOfDownload(file, parts)
  if (!options.isNamed && classifyInput(head) === 'archive') {
    return { ...(await openArchive(file.file, options, parts)), timeSec }
  }
  const tree = fileTree(file, 'context', options.description)
  const readText: TextReader = async (path) =>
    path === 'context' ? await hostReader('/')(file.file) : undefined
  const dockerfileText = options.isNamed ? undefined : await readText('context')
  return { tree, readText, dockerfileText, timeSec, save: () => Promise.resolve() }
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
      workDirectory: parts.workDirectory,
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

/**
 * What bytes that were piped in or downloaded are, by the first 1024 of them (features rows C2, C3, C9): an archive, a
 * Dockerfile, or nothing. zstd is not recognised, as it is not by docker.
 */
export function classifyInput(head: Uint8Array): 'archive' | 'dockerfile' | 'empty' {
  const compression = sniffCompression(head)
  if ((compression !== undefined && compression !== 'zstd') || startsWithTarHeader(head)) {
    return 'archive'
  }
  return head.length === 0 ? 'empty' : 'dockerfile'
}

async function readHead(path: string): Promise<Uint8Array> {
  const file = await open(path, 'r')
  try {
    const { bytesRead, buffer: bytes } = await file.read(Buffer.alloc(1024), 0, 1024, 0)
    return bytes.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

/** Reads files of a directory whose names and links are somebody else's. */
function rootReader(root: string, parts: Pick<ContextParts, 'kernel'>): TextReader {
  return async (path) => {
    let fd: number
    try {
      fd = parts.kernel.openInRoot(root, cleanBelowRoot(path))
    } catch (error) {
      if (
        error instanceof Error &&
        'code' in error &&
        (error.code === 'ENOENT' || error.code === 'ENOTDIR')
      ) {
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
