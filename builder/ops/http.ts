import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { link, mkdir, rename, rm, stat, utimes } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { errnoOf, NamedFile } from '../../snapshotter/index.ts'
import {
  type Digest,
  digestHex,
  digestOf,
  digestOfHash,
  parseDigest,
} from '../../registry-client/oci/index.ts'
import { recallJson, rememberJson } from '../context/remembered-json.ts'
import { CopyError } from './copy-errors.ts'
import { downloadFailed as failed, messageOf, openUrl, redactUrl } from './http-request.ts'

export { redactUrl } from './http-request.ts'

/** A file from a URL, on disk. */
export interface Download {
  readonly file: string
  readonly digest: Digest
  readonly sizeBytes: number
  /** Undefined when the server does not say. */
  readonly lastModifiedSec: number | undefined
}

export interface DownloadRequest {
  readonly url: string
  /** `sha256:<hex>` that the bytes must have (features row D115). */
  readonly checksum: string | undefined
  /** Sent to the first host only, never to where it redirects. */
  readonly headers?: Readonly<Record<string, string>>
}

export interface DownloadOptions {
  /** Directory that keeps downloads and what servers said of them between builds; made when missing. */
  readonly directory: string
  /** Gives paths for unfinished files and for names of what is in use, on the same file system; `kind` is a part of the name. */
  readonly temporaryPath: (kind: string) => string
  readonly sizeBytesMax: number
  /** Proxies are taken from it. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
}

/**
 * Downloads a file, or finds that the one of an earlier build is still right: by its checksum without asking anybody,
 * else by its ETag (features row D114). Redirects are followed. The file has a name in the work directory, so that
 * `prune` can forget the download while it is used. Errors: `download-failed` with the status or the reason,
 * `checksum-mismatch`.
 */
export async function download(
  request: DownloadRequest,
  options: DownloadOptions,
): Promise<Download> {
  const kept = await findOrFetch(request, options)
  const file = options.temporaryPath('download')
  try {
    await link(kept.file, file)
  } catch (error) {
    // Pruned in this moment.
    if (errnoOf(error) === 'ENOENT') {
      return await download(request, options)
    }
    throw error
  }
  const now = new Date()
  await utimes(file, now, now)
  return { ...kept, file }
}

/** Removes a download that is no longer what it was, so that it is fetched again. True when it was so. */
export async function removeIfDamaged(
  directory: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<boolean> {
  const file = join(directory, digestHex(digest))
  const hash = createHash('sha256')
  try {
    await pipeline(createReadStream(file), hash, { signal })
    if (digestOfHash(hash) === digest) return false
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    // What the disk does not give is as good as damaged.
    if (errnoOf(error) !== 'EIO') throw error
  }
  await rm(file, { force: true })
  return true
}

async function findOrFetch(request: DownloadRequest, options: DownloadOptions): Promise<Download> {
  await mkdir(options.directory, { recursive: true, mode: 0o700 })
  const expected = request.checksum === undefined ? undefined : parseDigest(request.checksum)
  if (request.checksum !== undefined && expected === undefined) {
    throw new CopyError(
      'checksum-mismatch',
      `could not check ${redactUrl(request.url)}: ${request.checksum} is not sha256:<hex>`,
    )
  }
  const known = await readRecord(options.directory, request.url)
  if (known !== undefined && known.digest === expected) {
    return known
  }
  const response = await openUrl(request, known?.etag, options)
  if (response.statusCode === 304 && known !== undefined) {
    response.resume()
    return checked(request, known, expected)
  }
  if ((response.statusCode ?? 0) < 200 || (response.statusCode ?? 0) >= 300) {
    response.resume()
    throw failed(request.url, `invalid response status ${response.statusCode}`)
  }
  return await store(request, response, expected, options)
}

async function store(
  request: DownloadRequest,
  response: IncomingMessage,
  expected: Digest | undefined,
  options: DownloadOptions,
): Promise<Download> {
  const temporary = options.temporaryPath('downloading')
  try {
    const { digest, sizeBytes } = await save(request, response, temporary, options)
    const file = join(options.directory, digestHex(digest))
    const result = checked(
      request,
      { file, digest, sizeBytes, lastModifiedSec: timeOf(response.headers['last-modified']) },
      expected,
    )
    await rename(temporary, file)
    await writeRecord(options, request.url, { ...result, etag: response.headers.etag })
    return result
  } finally {
    await rm(temporary, { force: true })
  }
}

async function save(
  request: DownloadRequest,
  response: IncomingMessage,
  file: string,
  options: DownloadOptions,
): Promise<{ readonly digest: Digest; readonly sizeBytes: number }> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  await using out = await NamedFile.create(redactUrl(request.url), file)
  for await (const chunk of chunksOf(request, response, options.signal)) {
    hash.update(chunk)
    if (sizeBytes + chunk.length > options.sizeBytesMax) {
      throw failed(request.url, `it is larger than ${options.sizeBytesMax} bytes`)
    }
    await out.writeAt(sizeBytes, chunk)
    sizeBytes += chunk.length
  }
  return { digest: digestOfHash(hash), sizeBytes }
}

async function* chunksOf(
  { url }: DownloadRequest,
  response: IncomingMessage,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const chunks: AsyncIterable<Buffer> = response
  try {
    yield* chunks
  } catch (error) {
    signal.throwIfAborted()
    throw failed(url, messageOf(error), error)
  }
  if (!response.complete) {
    throw failed(url, 'the connection was closed before the end')
  }
}

function checked(
  request: DownloadRequest,
  result: Download,
  expected: Digest | undefined,
): Download {
  if (expected !== undefined && result.digest !== expected) {
    throw new CopyError(
      'checksum-mismatch',
      `could not use ${redactUrl(request.url)}: digest mismatch ${result.digest}: ${expected}`,
    )
  }
  const { file, digest, sizeBytes, lastModifiedSec } = result
  return { file, digest, sizeBytes, lastModifiedSec }
}

interface DownloadRecord extends Download {
  readonly etag: string | undefined
}

function recordFile(directory: string, url: string): string {
  return join(directory, `${digestHex(digestOf(url))}.json`)
}

async function writeRecord(
  options: DownloadOptions,
  url: string,
  record: DownloadRecord,
): Promise<void> {
  const { digest, lastModifiedSec, etag } = record
  const file = recordFile(options.directory, url)
  const temporary = options.temporaryPath('download-record')
  await rememberJson(file, { digest, lastModifiedSec, etag }, temporary)
}

/** What is known of a URL, if its file is still there. */
async function readRecord(directory: string, url: string): Promise<DownloadRecord | undefined> {
  const record = await recallJson(recordFile(directory, url))
  const digest = parseDigest(field(record, 'digest', 'string') ?? '')
  if (digest === undefined) {
    return undefined
  }
  const file = join(directory, digestHex(digest))
  const found = await stat(file).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  })
  const lastModifiedSec = field(record, 'lastModifiedSec', 'number')
  const etag = field(record, 'etag', 'string')
  return found && { file, digest, sizeBytes: found.size, lastModifiedSec, etag }
}

function field(record: unknown, name: string, type: 'string'): string | undefined
function field(record: unknown, name: string, type: 'number'): number | undefined
function field(
  record: unknown,
  name: string,
  type: 'string' | 'number',
): string | number | undefined {
  const value: unknown =
    typeof record === 'object' && record !== null
      ? Object.getOwnPropertyDescriptor(record, name)?.value
      : undefined
  return (type === 'string' && typeof value === 'string') ||
    (type === 'number' && typeof value === 'number')
    ? value
    : undefined
}

function timeOf(header: string | undefined): number | undefined {
  const timeMs = header === undefined ? Number.NaN : Date.parse(header)
  return Number.isNaN(timeMs) ? undefined : Math.floor(timeMs / 1000)
}
