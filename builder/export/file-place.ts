import type { Stats } from 'node:fs'
import { readlink, realpath, stat } from 'node:fs/promises'
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

async function linkTarget(path: string): Promise<string | undefined> {
  return readlink(path).catch((error: unknown) => {
    if (errnoOf(error) === 'EINVAL') return undefined
    throw error
  })
}
