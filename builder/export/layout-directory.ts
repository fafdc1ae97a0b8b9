import { copyFile, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { errnoOf, lockFile, type Locker } from '../../snapshotter/index.ts'
import { ExportError } from './errors.ts'
import { type LayoutEntry, type LayoutFile, layoutHead } from './layout-files.ts'
import { replaceFile } from './replace-file.ts'

/** `index.json` of somebody else's layout is read whole; more than this is no index. */
const INDEX_BYTES_MAX = 4 * 1024 * 1024

/** What is added to a layout. */
export interface LayoutAddition {
  readonly files: readonly LayoutFile[]
  readonly entries: readonly LayoutEntry[]
  /** Nothing else stays: the entries of other names go, and every other blob. */
  readonly isReset?: boolean
}

/**
 * Adds an image to the OCI layout at `directory`, which is made when it is not there. Blobs that are there stay; entries
 * of the same name are replaced, others kept. `index.json` is replaced after the blobs are there, so a reader never sees a name
 * without its blobs. Several writers wait for each other (features row O52), BuildKit's too: the lock file is the same.
 */
export async function writeLayoutDirectory(
  directory: string,
  { files, entries, isReset = false }: LayoutAddition,
  locker: Locker,
  signal: AbortSignal,
): Promise<void> {
  const blobsDirectory = join(directory, 'blobs/sha256')
  await mkdir(blobsDirectory, { recursive: true })
  const path = join(directory, 'index.json.lock')
  await using _lock = await lockFile(locker, path, { mode: 'exclusive', removeAfter: true }, signal)
  for (const file of files) {
    signal.throwIfAborted()
    await addFile(directory, file)
  }
  const before = isReset ? [] : await readEntries(directory)
  const kept = before.filter((old) => !entries.some((entry) => isSameName(old, entry)))
  for (const { name, content } of layoutHead([...kept, ...entries]).reverse()) {
    if (content instanceof Uint8Array) {
      await replaceFile(join(directory, name), (temporary) =>
        writeFile(temporary, content, { flag: 'wx' }),
      )
    }
  }
  if (isReset) await removeOthers(blobsDirectory, new Set(files.map(({ name }) => basename(name))))
}

async function removeOthers(directory: string, kept: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!kept.has(name)) await rm(join(directory, name))
  }
}

async function addFile(directory: string, { name, content }: LayoutFile): Promise<void> {
  const path = join(directory, name)
  const sizeBytes = content instanceof Uint8Array ? content.byteLength : content.sizeBytes
  if ((await sizeOf(path)) === sizeBytes) {
    return
  }
  await replaceFile(path, (temporary) =>
    content instanceof Uint8Array
      ? writeFile(temporary, content, { flag: 'wx' })
      : copyFile(content.path, temporary),
  )
}

async function readEntries(directory: string): Promise<LayoutEntry[]> {
  const path = join(directory, 'index.json')
  const sizeBytes = await sizeOf(path)
  if (sizeBytes === undefined) {
    return []
  }
  if (sizeBytes > INDEX_BYTES_MAX) {
    throw new ExportError(
      'destination-unusable',
      `could not add to the layout ${directory}: index.json has ${sizeBytes} bytes`,
    )
  }
  try {
    const json: unknown = JSON.parse(await readFile(path, 'utf8'))
    const manifests =
      typeof json === 'object' && json !== null && 'manifests' in json ? json.manifests : undefined
    if (Array.isArray(manifests) && manifests.every(isEntry)) {
      return manifests
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) {
      throw error
    }
  }
  throw new ExportError(
    'destination-unusable',
    `could not add to the layout ${directory}: index.json is not an image index`,
  )
}

function isEntry(value: unknown): value is LayoutEntry {
  return (
    typeof value === 'object' &&
    value !== null &&
    'digest' in value &&
    typeof value.digest === 'string'
  )
}

function isSameName(old: LayoutEntry, entry: LayoutEntry): boolean {
  const oldName = nameOf(old)
  const name = nameOf(entry)
  return name === undefined
    ? oldName === undefined && old.digest === entry.digest
    : oldName === name
}

/** Images have a whole name; what has only a tag (a cache) is named by that. */
function nameOf({ annotations }: LayoutEntry): string | undefined {
  return (
    annotations?.['io.containerd.image.name'] ?? annotations?.['org.opencontainers.image.ref.name']
  )
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') {
      return undefined
    }
    throw error
  }
}
