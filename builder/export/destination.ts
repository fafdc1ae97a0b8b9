import { createWriteStream } from 'node:fs'
import { access, constants } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { reasonOf } from '../../snapshotter/index.ts'
import { ExportError } from './errors.ts'
import { filePlace, linkedPlace, statIfThere } from './file-place.ts'
import { replaceFile } from './replace-file.ts'

/** Standard output as exporters see it. */
export interface ExportStdout extends NodeJS.WritableStream {
  readonly isTTY?: boolean
}

/** Where outputs go. */
export interface Surroundings {
  readonly cwd: string
  readonly stdout: ExportStdout
}

/**
 * Checks, before anything is built, that `dest` can be written as a file. Errors: `destination-unusable` for a terminal, and
 * those of `checkFile`.
 */
export async function checkFileDestination(
  dest: string,
  type: string,
  { cwd, stdout }: Surroundings,
): Promise<void> {
  if (dest !== '-') {
    const options = { shown: `dest ${dest}`, followsLinks: true }
    await checkFile(resolve(cwd, dest), `output type=${type}`, options)
  } else if (stdout.isTTY === true) {
    throw new ExportError(
      'destination-unusable',
      `could not write output type=${type}: dest is stdout, which is a terminal; give dest=FILE or redirect it`,
    )
  }
}

/**
 * Checks that `given` can be made or replaced: itself, or with `followsLinks` the file that it leads to. Throws
 * `destination-unusable` for a directory, a parent that is missing or may not be written. `what` and `shown` are words for the
 * message.
 */
export async function checkFile(
  given: string,
  what: string,
  options: { readonly shown?: string; readonly followsLinks?: boolean } = {},
): Promise<void> {
  const { shown = given, followsLinks = false } = options
  const { existing, isStream } = await filePlace(given)
  const refuse = (reason: string): ExportError =>
    new ExportError('destination-unusable', `could not write ${what}: ${reason}`)
  if (existing?.isDirectory() === true) {
    throw refuse(`${shown} is a directory, not a file`)
  }
  if (isStream) {
    await checkWritable(given, what)
    return
  }
  const place = followsLinks ? await linkedPlace(given) : given
  const parent = dirname(place)
  if ((await statIfThere(parent))?.isDirectory() !== true) {
    const meant = place === given ? shown : `${place}, where ${shown} leads,`
    throw refuse(`the directory of ${meant} does not exist`)
  }
  await checkWritable(parent, what)
}

/** Throws `destination-unusable` when this user may not write `path`, which exists. */
async function checkWritable(path: string, what: string): Promise<void> {
  try {
    await access(path, constants.W_OK)
  } catch (error) {
    throw new ExportError(
      'destination-unusable',
      `could not write ${what}: ${path} may not be written: ${reasonOf(error)}`,
      { cause: error },
    )
  }
}

/** As `checkFileDestination`, for a directory that may exist. */
export async function checkDirectoryDestination(
  dest: string,
  type: string,
  { cwd }: Pick<Surroundings, 'cwd'>,
): Promise<void> {
  const path = resolve(cwd, dest)
  const found = await statIfThere(path)
  if (found !== undefined && !found.isDirectory()) {
    throw new ExportError(
      'destination-unusable',
      `could not write output type=${type}: destination directory ${dest} is a file`,
    )
  }
  await checkWritable(await nearestExisting(path), `output type=${type}`)
}

/** `path`, or the nearest directory above it that exists. */
async function nearestExisting(path: string): Promise<string> {
  return (await statIfThere(path)) === undefined && path !== '/'
    ? nearestExisting(dirname(path))
    : path
}

/** Writes `bytes` to `dest`: `-` is stdout; a file appears whole or not at all. */
export async function writeDestination(
  dest: string,
  bytes: AsyncIterable<Uint8Array>,
  { cwd, stdout }: Surroundings,
  signal: AbortSignal,
): Promise<void> {
  const source = Readable.from(bytes, { objectMode: false })
  if (dest === '-') {
    await pipeline(source, stdout, { signal, end: false })
    return
  }
  const given = resolve(cwd, dest)
  const { isStream } = await filePlace(given)
  // A link stays, and the file that it leads to is made or replaced.
  const path = isStream ? given : await linkedPlace(given)
  let written = path
  try {
    if (isStream) {
      // What an open file holds already stays: it has other writers.
      await pipeline(source, createWriteStream(path, { flags: 'a' }), { signal })
      return
    }
    await replaceFile(path, async (beside) => {
      written = beside
      await pipeline(source, createWriteStream(beside, { flags: 'wx' }), { signal })
    })
  } catch (error) {
    throw unwritable(path, written, error)
  }
}

/** Node says of a failed write which call failed and not on which file. Other errors are those of the source. */
function unwritable(path: string, written: string, error: unknown): unknown {
  if (!(error instanceof Error && 'syscall' in error)) {
    return error
  }
  const isOfSource = error.syscall !== 'write' && !('path' in error && error.path === written)
  return isOfSource
    ? error
    : new ExportError('destination-unusable', `could not write ${path}: ${reasonOf(error)}`, {
        cause: error,
      })
}
