import { mkdir } from 'node:fs/promises'
import {
  ARCHIVE_LIMITS,
  ContentsPages,
  errnoOf,
  type Kernel,
  MergedLayers,
} from '../../snapshotter/index.ts'
import { LayerSource } from '../ops/copy-layer-tree.ts'
import type { SourceTree } from '../ops/copy-source.ts'
import { ContextError } from './errors.ts'

export interface ArchiveTreeOptions {
  readonly kernel: Pick<Kernel, 'readLayer'>
  readonly file: string
  /** New directory to unpack into; the table of contents is made beside it. */
  readonly directory: string
  readonly description: string
  readonly signal: AbortSignal
}

/**
 * A tar archive, plain or compressed, as a tree: owners and times are the archive's, whoever unpacks it (features row
 * C3). `context-invalid` when it is no archive or a broken one.
 */
export async function openArchiveTree(options: ArchiveTreeOptions): Promise<SourceTree> {
  const { kernel, file, directory, description, signal } = options
  await mkdir(directory)
  const contents = `${directory}.contents`
  try {
    await kernel.readLayer({
      blob: file,
      compression: 'auto',
      extractTo: directory,
      entries: { contents },
      whiteouts: 'plain',
      userXattr: false,
      ownership: 'none',
      limits: ARCHIVE_LIMITS,
      signal,
    })
    const layers = new MergedLayers([await ContentsPages.open(contents)])
    return new LayerSource({ layers, description, rootOf: () => directory })
  } catch (error) {
    if (error instanceof Error && errnoOf(error) === 'bad-archive') {
      throw new ContextError(
        'context-invalid',
        `could not unpack ${description}: ${error.message}`,
        { cause: error },
      )
    }
    throw error
  }
}

/** When the newest file of an archive was changed, in seconds; undefined for what is no archive and for an empty one. */
export async function archiveTime(
  file: string,
  { kernel, signal }: Pick<ArchiveTreeOptions, 'kernel' | 'signal'>,
): Promise<number | undefined> {
  try {
    const { newestFileSec } = await kernel.readLayer({
      blob: file,
      compression: 'auto',
      extractTo: undefined,
      entries: 'none',
      whiteouts: 'plain',
      userXattr: false,
      ownership: 'none',
      limits: ARCHIVE_LIMITS,
      signal,
    })
    return newestFileSec
  } catch (error) {
    if (errnoOf(error) === 'bad-archive') {
      return undefined
    }
    throw error
  }
}
