import { parseDigest } from '../../registry-client/oci/index.ts'
import { StoreError } from '../store/errors.ts'
import { NamedFile } from '../store/named-file.ts'
import type { EntryMetadata, LayerEntry } from './entry.ts'

/**
 * The file of a layer's table of contents. Lines of JSON: a header with the version, then batches of entries (each entry a
 * flat array, see `decodeFields`), then the count, so that a file that was cut short is noticed. Sorted by path, with
 * marks beside the entries of their path (src/layer-table.h).
 */
export const CONTENTS_HEADER = { format: 'tsbuild-layer-contents', version: 1 } as const

/** The entries in batches. Errors: `contents-damaged` (also for another version); the caller reads the layer anew then. */
export async function* readContents(path: string): AsyncGenerator<readonly LayerEntry[]> {
  let count = 0
  let isComplete = false
  let isFirst = true
  for await (const line of readLines(path)) {
    const value = parseLine(path, line)
    if (isFirst) checkHeader(path, value)
    else if (isComplete) throw damagedContents(path, 'it goes on after its end')
    else if (Array.isArray(value)) {
      count += value.length
      yield value.map((item: unknown) => decodeEntry(path, item))
    } else {
      if (!isRecord(value) || value['count'] !== count)
        throw damagedContents(path, `it does not hold ${count} entries`)
      isComplete = true
    }
    isFirst = false
  }
  if (!isComplete) throw damagedContents(path, 'it is cut short')
}

/** Whether `readContents` reads the file to its end. */
export async function isWholeContents(path: string): Promise<boolean> {
  try {
    for await (const _batch of readContents(path));
    return true
  } catch (error) {
    if (error instanceof StoreError && error.code === 'contents-damaged') return false
    throw error
  }
}

/** The entries of one line between the first and the last. Errors: `contents-damaged`. */
export function parseContentsBatch(path: string, line: string): LayerEntry[] {
  const value = parseLine(path, line)
  if (!Array.isArray(value)) throw damagedContents(path, 'a line holds no entries')
  return value.map((item: unknown) => decodeEntry(path, item))
}

/** Checks the first and the last line of a table. Errors: `contents-damaged`. */
export function checkContentsEnds(path: string, first: string, last: string): void {
  checkHeader(path, parseLine(path, first))
  const end = parseLine(path, last)
  if (!isRecord(end) || typeof end['count'] !== 'number')
    throw damagedContents(path, 'it is cut short')
}

/** The file of a table, to be read. */
export async function openContents(path: string): Promise<NamedFile> {
  return await NamedFile.open('a table of contents', path)
}

async function* readLines(path: string): AsyncGenerator<string> {
  await using file = await openContents(path)
  let rest: Buffer = Buffer.alloc(0)
  for await (const piece of file.pieces()) {
    let pending = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    for (let end = pending.indexOf(10); end >= 0; end = pending.indexOf(10)) {
      yield pending.toString('utf8', 0, end)
      pending = pending.subarray(end + 1)
    }
    rest = pending
  }
  if (rest.length > 0) throw damagedContents(path, 'its last line is cut short')
}

type Xattrs = readonly (readonly [name: string, base64: string])[]

function decodeEntry(file: string, value: unknown): LayerEntry {
  const entry = Array.isArray(value) ? decodeFields(value) : undefined
  if (entry === undefined)
    throw damagedContents(file, `${JSON.stringify(value).slice(0, 200)} is no entry`)
  return entry
}

/** `[kind, path, mode, uid, gid, mtimeSec, ...of the kind, xattrs?]`; `[kind, path]` for the two that have no metadata. */
function decodeFields(fields: readonly unknown[]): LayerEntry | undefined {
  const kind = fields[0]
  const path = fields[1]
  if (typeof path !== 'string') return undefined
  if (kind === 'w') return { type: 'whiteout', path }
  if (kind === 'o') return { type: 'opaque', path }
  const own = kind === 'd' || kind === 'p' ? 0 : kind === 'l' || kind === 'h' ? 1 : 2
  const mode = fields[2]
  const uid = fields[3]
  const gid = fields[4]
  const mtimeSec = fields[5]
  if (typeof mode !== 'number' || typeof uid !== 'number') return undefined
  if (typeof gid !== 'number' || typeof mtimeSec !== 'number') return undefined
  const encoded = fields[6 + own]
  if (encoded === undefined) return decodeOwn(kind, { path, mode, uid, gid, mtimeSec }, fields)
  const xattrs = decodeXattrs(encoded)
  return xattrs === undefined
    ? undefined
    : decodeOwn(kind, { path, mode, uid, gid, mtimeSec, xattrs }, fields)
}

function decodeOwn(
  kind: unknown,
  base: EntryMetadata & { readonly path: string },
  fields: readonly unknown[],
): LayerEntry | undefined {
  const first = fields[6]
  const second = fields[7]
  switch (kind) {
    case 'd':
      return { type: 'dir', ...base }
    case 'p':
      return { type: 'fifo', ...base }
    case 'l':
      return typeof first === 'string' ? { type: 'symlink', ...base, target: first } : undefined
    case 'h':
      return typeof first === 'string' ? { type: 'hardlink', ...base, target: first } : undefined
    case 'f': {
      const digest = typeof second === 'string' ? parseDigest(`sha256:${second}`) : undefined
      if (typeof first !== 'number' || digest === undefined) return undefined
      return { type: 'file', ...base, sizeBytes: first, digest }
    }
    case 'c':
    case 'b':
      if (typeof first !== 'number' || typeof second !== 'number') return undefined
      return { type: kind === 'c' ? 'char' : 'block', ...base, major: first, minor: second }
    default:
      return undefined
  }
}

function decodeXattrs(value: unknown): { name: string; value: Uint8Array }[] | undefined {
  if (!isXattrs(value)) return undefined
  return value.map(([name, base64]) => ({
    name,
    value: new Uint8Array(Buffer.from(base64, 'base64')),
  }))
}

function isXattrs(value: unknown): value is Xattrs {
  return (
    Array.isArray(value) &&
    value.every(
      (item: unknown) =>
        Array.isArray(item) && typeof item[0] === 'string' && typeof item[1] === 'string',
    )
  )
}

function parseLine(path: string, line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    throw damagedContents(path, 'a line is not JSON', error)
  }
}

function checkHeader(path: string, value: unknown): void {
  if (!isRecord(value) || value['format'] !== CONTENTS_HEADER.format)
    throw damagedContents(path, 'it is no table of contents')
  if (value['version'] !== CONTENTS_HEADER.version)
    throw damagedContents(
      path,
      `its version is ${String(value['version'])}, not ${CONTENTS_HEADER.version}`,
    )
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The error that every reader of tables of contents gives. */
export function damagedContents(path: string, reason: string, cause?: unknown): StoreError {
  return new StoreError(
    'contents-damaged',
    `could not read the table of contents ${path}: ${reason}`,
    { cause },
  )
}
