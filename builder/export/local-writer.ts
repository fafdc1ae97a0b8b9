import {
  chmod,
  link,
  lstat,
  lutimes,
  mkdir,
  rename,
  rm,
  symlink,
  unlink,
  utimes,
} from 'node:fs/promises'
import { encodePath, errnoOf, type Kernel, type LayerPath } from '../../snapshotter/index.ts'
import type { FlatImage, FlatNode } from './flat-image.ts'

/** A directory that was made, and is to be finished. */
export interface WrittenDirectory {
  readonly path: LayerPath
  readonly mode: number
  readonly mtimeSec: number
}

export type LocalKernel = Pick<Kernel, 'makeNode' | 'removeTree'>

export interface LocalWriterOptions {
  /** Existing directory on the filesystem that holds the unpacked layers. */
  readonly root: string
  readonly kernel: LocalKernel
  /** SOURCE_DATE_EPOCH: the time of every file (features row C68); undefined: the times of the layers. */
  readonly epochSec: number | undefined
  /** Told what could not be made. */
  readonly onSkipped: (path: LayerPath, reason: string) => void
  readonly signal: AbortSignal
}

/**
 * Writes the files of an image below `root`, owned by the caller (features row C68); `finishDirectories` ends it. Whatever stands at a path and is no directory is
 * replaced, never followed or written through, so a symlink from an earlier export leads nowhere: directories come first, each
 * made or found to be a real one before anything goes into it.
 */
export async function writeLocalFiles(
  image: FlatImage,
  options: LocalWriterOptions,
): Promise<readonly WrittenDirectory[]> {
  const directories: WrittenDirectory[] = []
  for await (const page of image.pages()) {
    for (const { path, entry } of page) {
      if (entry.type !== 'dir') continue
      await makeDirectory(hostPath(options.root, path))
      directories.push({ path, mode: entry.mode, mtimeSec: entry.mtimeSec })
    }
  }
  const written = new Map<string, Buffer>()
  for await (const page of image.pages()) {
    for (const node of page) {
      options.signal.throwIfAborted()
      if (node.entry.type !== 'dir') await writeNode(image, node, written, options)
    }
  }
  return directories
}

/**
 * Gives the directories their modes and times, the deepest first. Last of all: a mode may forbid to write into a directory, and
 * writing changes its time.
 */
export async function finishDirectories(
  directories: readonly WrittenDirectory[],
  { root, epochSec }: Pick<LocalWriterOptions, 'root' | 'epochSec'>,
): Promise<void> {
  for (const { path, mode, mtimeSec } of directories.toReversed()) {
    const target = hostPath(root, path)
    const timeSec = epochSec ?? mtimeSec
    await chmod(target, mode)
    await utimes(target, timeSec, timeSec)
  }
}

/** A directory may be one that an ordinary user can only remove after a change of modes: the addon does that. */
async function makeRoom(
  target: Buffer,
  path: LayerPath,
  { root, kernel, signal }: LocalWriterOptions,
): Promise<void> {
  try {
    await unlink(target)
  } catch (error) {
    const code = errnoOf(error)
    if (code === 'EISDIR') await kernel.removeTree(`${root}/${path}`, signal)
    else if (code !== 'ENOENT') throw error
  }
}

async function writeNode(
  image: FlatImage,
  node: FlatNode,
  written: Map<string, Buffer>,
  options: LocalWriterOptions,
): Promise<void> {
  const { entry, path } = node
  const target = hostPath(options.root, path)
  const timeSec = options.epochSec ?? entry.mtimeSec
  await makeRoom(target, path, options)
  switch (entry.type) {
    case 'file': {
      const key = `${node.layer} ${node.source}`
      const first = written.get(key)
      if (first !== undefined) {
        await link(first, target)
        return
      }
      await rename(await image.pathOf(node), target)
      await chmod(target, entry.mode)
      await utimes(target, timeSec, timeSec)
      if (node.isLinked) written.set(key, target)
      return
    }
    case 'symlink':
      await symlink(encodePath(entry.target), target)
      await lutimes(target, timeSec, timeSec)
      return
    case 'char':
    case 'block':
    case 'fifo':
      if (makeSpecial(node, options)) await utimes(target, timeSec, timeSec)
      return
    case 'dir':
      return
    default:
      entry satisfies never
  }
}

/** False for a device that an ordinary caller has not the privilege to make: it is left out, and said. */
function makeSpecial(
  { entry, path }: FlatNode,
  { root, kernel, onSkipped }: LocalWriterOptions,
): boolean {
  if (entry.type !== 'char' && entry.type !== 'block' && entry.type !== 'fifo') {
    return false
  }
  const numbers =
    entry.type === 'fifo' ? { major: 0, minor: 0 } : { major: entry.major, minor: entry.minor }
  try {
    kernel.makeNode(`${root}/${path}`, entry.type, { mode: entry.mode, ...numbers })
    return true
  } catch (error) {
    if (entry.type !== 'fifo' && errnoOf(error) === 'EPERM') {
      onSkipped(path, 'a device needs root')
      return false
    }
    throw error
  }
}

async function makeDirectory(path: Buffer): Promise<void> {
  const existing = await lstat(path).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') {
      return undefined
    }
    throw error
  })
  if (existing?.isDirectory() === true) {
    // Read-only directories of an earlier export; the mode is set at the end.
    await chmod(path, 0o700)
    return
  }
  if (existing !== undefined) {
    await rm(path)
  }
  await mkdir(path, { mode: 0o700 })
}

function hostPath(root: string, path: LayerPath): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`), encodePath(path)])
}
