import { randomBytes } from 'node:crypto'
import { chmod, link, lstat, mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { StoreError, errnoOf, reasonOf } from './errors.ts'

/** Format of everything below a state root. A change that older versions would misread counts it up. */
export const STATE_FORMAT = 1

const DIRECTORIES = [
  'blobs',
  'blobs/sha256',
  'blobs/unverified',
  'layers',
  'layers/contents',
  'layers/directories',
  'layers/records',
  'cache',
  'images',
  'mounts',
  'contexts',
  'work',
  'work/locks',
  'work/trash',
] as const

const FORMAT_FILE = 'format'

/** The state root's places. All state is files below `path` (design.md, "No daemon, no shared memory"). */
export interface StateRoot {
  readonly path: string
  readonly blobsDir: string
  /** What of the blobs can be taken over into others (PackOptions.partsTable); a file, once something was packed. */
  readonly partsTable: string
  readonly layersDir: string
  readonly cacheDir: string
  readonly imagesDir: string
  readonly mountsDir: string
  readonly contextsDir: string
  /** Everything unfinished, locks and leases. */
  readonly workDir: string
}

/** Where state lives when `--root` does not say: `TSBUILD_ROOT`, `/var/lib/tsbuild` for root, else the user's data home. */
export function defaultStateRoot(
  env: Readonly<Record<string, string | undefined>>,
  user: { readonly uid: number; readonly home: string },
): string {
  const asked = env['TSBUILD_ROOT']
  if (asked !== undefined && asked !== '') return resolve(asked)
  if (user.uid === 0) return '/var/lib/tsbuild'
  const dataHome = env['XDG_DATA_HOME']
  // The XDG base directory specification: a relative path is invalid and must be ignored.
  const base = dataHome?.startsWith('/') === true ? dataHome : join(user.home, '.local/share')
  return join(base, 'tsbuild')
}

/**
 * Opens the state root at `path`, creating it when it is absent or empty.
 * Errors: `state-root-newer` (features row K41), `state-root-unusable` (other people's files in it, writable by everybody).
 */
export async function openStateRoot(path: string): Promise<StateRoot> {
  const root = resolve(path)
  const format = await readFormat(root)
  if (format === undefined) await createStateRoot(root)
  else if (format > STATE_FORMAT) {
    throw new StoreError(
      'state-root-newer',
      `could not open state root ${root}: its format is ${format}, this tsbuild knows up to ${STATE_FORMAT}; ` +
        'use a newer tsbuild or another --root',
    )
  }
  await refuseWorldWritable(root)
  return placesIn(root)
}

function placesIn(root: string): StateRoot {
  return {
    path: root,
    blobsDir: join(root, 'blobs/sha256'),
    partsTable: join(root, 'blobs/parts'),
    layersDir: join(root, 'layers'),
    cacheDir: join(root, 'cache'),
    imagesDir: join(root, 'images'),
    mountsDir: join(root, 'mounts'),
    contextsDir: join(root, 'contexts'),
    workDir: join(root, 'work'),
  }
}

async function readFormat(root: string): Promise<number | undefined> {
  let text: string
  try {
    text = await readFile(join(root, FORMAT_FILE), 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw unusable(root, reasonOf(error), error)
  }
  const match = /^tsbuild state (\d{1,9})\n$/.exec(text)
  if (match === null) throw unusable(root, `${FORMAT_FILE} is not the format file of a state root`)
  return Number(match[1])
}

async function createStateRoot(root: string): Promise<void> {
  try {
    await makeDirectory(root)
    // What an earlier creation left when it was killed is ours; anything else may be somebody's data.
    // `flushed` comes from a process that outlived its build and the removal of the root (background-flush.ts).
    const known = new Set<string>(['lost+found', 'flushed', ...DIRECTORIES])
    const foreign = (await readdir(root)).find((name) => !known.has(name))
    if (foreign !== undefined && foreign !== FORMAT_FILE) {
      throw unusable(
        root,
        `it holds ${JSON.stringify(foreign)} and is no state root; name an empty directory`,
      )
    }
    // The contents of layers (setuid programs among them) are nobody else's business, whatever umask CI set.
    await chmod(root, 0o700)
    for (const name of DIRECTORIES) await makeDirectory(join(root, name))
    await writeFormat(root)
  } catch (error) {
    if (error instanceof StoreError) throw error
    throw unusable(root, reasonOf(error), error)
  }
}

/**
 * With what is missing above it. Not by Node's `recursive`: where mkdir(2) answers ENOENT below a directory that is
 * there (/proc), that tries for ever.
 */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENOENT' && !(await isDirectory(dirname(path)))) {
      await makeDirectory(dirname(path))
      await makeDirectory(path)
    } else if (errno !== 'EEXIST' || !(await isDirectory(path))) {
      throw error
    }
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}

/** The format file appears whole and last: its presence says that all directories are there. */
async function writeFormat(root: string): Promise<void> {
  const temporary = join(root, 'work', `format-${randomBytes(8).toString('hex')}`)
  await writeFile(temporary, `tsbuild state ${STATE_FORMAT}\n`, { flag: 'wx', mode: 0o600 })
  try {
    await link(temporary, join(root, FORMAT_FILE))
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
  } finally {
    await rm(temporary, { force: true })
  }
}

async function refuseWorldWritable(root: string): Promise<void> {
  const { mode } = await lstat(root)
  if ((mode & 0o002) !== 0) {
    throw unusable(
      root,
      `everybody can write to it (mode ${(mode & 0o7777).toString(8)}); run chmod 700 on it`,
    )
  }
}

function unusable(root: string, reason: string, cause?: unknown): StoreError {
  return new StoreError('state-root-unusable', `could not use state root ${root}: ${reason}`, {
    cause,
  })
}
