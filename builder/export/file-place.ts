import type { Stats } from 'node:fs'
import { lstat, readlink, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { errnoOf, reasonOf } from '../../snapshotter/index.ts'
import { ExportError } from './errors.ts'

/** What stands at a path that a result is to be written to. */
export interface FilePlace {
  /** Of what the path leads to; undefined: nothing. */
  readonly existing: Stats | undefined
  /**
   * It is written to, where a file is replaced: a device or a fifo, at whose other end something reads, and what is open
   * already. Of the latter no one may make a file: root would replace `/dev/stdout` for the whole machine.
   */
  readonly isStream: boolean
}

/** Errors: `destination-unusable` when nobody can say what is there. */
export async function filePlace(path: string): Promise<FilePlace> {
  const existing = await statIfThere(path)
  const isPlain = existing === undefined || existing.isFile() || existing.isDirectory()
  return { existing, isStream: existing !== undefined && (!isPlain || (await isDescriptor(path))) }
}

/** `stat`, undefined for nothing. Throws `destination-unusable`. */
export async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') {
      return undefined
    }
    throw new ExportError(
      'destination-unusable',
      `could not use destination ${path}: ${reasonOf(error)}`,
      { cause: error },
    )
  }
}

/**
 * Where a file is made that `path` names: links are followed to their end, also to a file that is not there, as open(2) does.
 * Throws `destination-unusable` for a link of another user in a directory like `/tmp`, whatever the kernel's setting
 * `fs.protected_symlinks` is: who waits there for a file of ours chooses where it goes. `filePlace` has refused
 * a circle of links before.
 */
export async function linkedPlace(path: string): Promise<string> {
  const directory = await realpath(dirname(path)).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  })
  if (directory === undefined) return path
  const here = join(directory, basename(path))
  const target = await linkTarget(here)
  if (target === undefined) return here
  await checkOwner(here)
  return linkedPlace(resolve(directory, target))
}

async function checkOwner(link: string): Promise<void> {
  const [{ uid }, directory] = await Promise.all([lstat(link), stat(dirname(link))])
  if (isFollowed(uid, directory, process.geteuid?.())) return
  throw new ExportError(
    'destination-unusable',
    `could not use destination ${link}: it is a link of another user in a directory that all may write`,
  )
}

const STICKY_FOR_ALL = 0o1002

/** The rule of proc_sys_fs(5) for protected_symlinks. */
export function isFollowed(
  linkUid: number,
  directory: { readonly uid: number; readonly mode: number },
  euid: number | undefined,
): boolean {
  const isShared = (directory.mode & STICKY_FOR_ALL) === STICKY_FOR_ALL
  return !isShared || linkUid === euid || linkUid === directory.uid
}

const DESCRIPTORS = /^\/proc\/\d+(?:\/task\/\d+)?\/fd$/

/** Whether links lead from `path`, which exists, to an open file of a process, as `/dev/stdout` and `/dev/fd/3` do. */
async function isDescriptor(path: string): Promise<boolean> {
  const directory = await realpath(dirname(path))
  if (DESCRIPTORS.test(directory)) {
    return true
  }
  const target = await linkTarget(join(directory, basename(path)))
  return target !== undefined && (await isDescriptor(resolve(directory, target)))
}

/** undefined: there is no link. */
async function linkTarget(path: string): Promise<string | undefined> {
  return readlink(path).catch((error: unknown) => {
    if (errnoOf(error) === 'EINVAL' || errnoOf(error) === 'ENOENT') return undefined
    throw error
  })
}
