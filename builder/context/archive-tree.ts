import { mkdir } from 'node:fs/promises'
import { ARCHIVE_LIMITS, type Kernel, LayerTree } from '../../snapshotter/index.ts'
import { LayerSource } from '../ops/copy-layer-tree.ts'
import type { SourceTree } from '../ops/copy-source.ts'
import { ContextError } from './errors.ts'

export interface ArchiveTreeOptions {
  readonly kernel: Pick<Kernel, 'readLayer'>
  readonly file: string
  /** New directory to unpack into. */
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
  try {
    const { entries } = await kernel.readLayer({
      blob: file,
      compression: 'auto',
      extractTo: directory,
      whiteouts: 'plain',
      userXattr: false,
      ownership: 'none',
      limits: ARCHIVE_LIMITS,
      signal,
    })
    return new LayerSource({ tree: LayerTree.of([entries]), description, rootOf: () => directory })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'bad-archive') {
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
    const { entries } = await kernel.readLayer({
      blob: file,
      compression: 'auto',
      extractTo: undefined,
      whiteouts: 'plain',
      userXattr: false,
      ownership: 'none',
      limits: ARCHIVE_LIMITS,
      signal,
    })
    let newest: number | undefined
    for (const entry of entries) {
      if (entry.type === 'file') {
        newest = Math.max(newest ?? entry.mtimeSec, entry.mtimeSec)
      }
    }
    return newest === undefined ? undefined : Math.floor(newest)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'bad-archive') {
      return undefined
    }
    throw error
  }
}
