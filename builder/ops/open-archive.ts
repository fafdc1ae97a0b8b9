import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  ARCHIVE_LIMITS,
  ContentsPages,
  errnoOf,
  type Kernel,
  type LayerEntry,
  type Store,
} from '../../snapshotter/index.ts'
import { type ArchiveContents, detectArchive } from './archive.ts'
import type { SelectedMatch } from './copy-select.ts'
import { placeOf, type SourceTree } from './copy-source.ts'

/**
 * What ADD finds in a file that is an archive by its content; undefined for any other file (features row D116). Its files
 * are unpacked into the lease's directory, as the current user and without owners: those are in the entries.
 */
export async function openArchive(
  tree: SourceTree,
  match: SelectedMatch,
  parts: {
    readonly store: { readonly lease: Pick<Store['lease'], 'temporaryPath'> }
    readonly kernel: Pick<Kernel, 'readLayer'>
  },
  signal: AbortSignal,
): Promise<ArchiveContents | undefined> {
  const source = match.entry.type === 'file' ? tree.source(placeOf(match.entry)) : undefined
  if (source?.kind !== 'path') {
    return undefined
  }
  const file = join(source.root, source.path)
  const verdict = await detectArchive(file)
  if (verdict === 'no') {
    return undefined
  }
  const root = parts.store.lease.temporaryPath()
  await mkdir(root)
  const contents = parts.store.lease.temporaryPath('contents')
  const how = {
    blob: file,
    compression: 'auto',
    whiteouts: 'plain',
    userXattr: false,
    ownership: 'none',
    limits: ARCHIVE_LIMITS,
    signal,
  } as const
  const list = async (): Promise<readonly LayerEntry[]> =>
    (await parts.kernel.readLayer({ ...how, extractTo: undefined, entries: 'list' })).entries
  try {
    const entries = { contents }
    const { isPlain } = await parts.kernel.readLayer({ ...how, extractTo: root, entries })
    const sorted = await ContentsPages.open(contents)
    // Without an entry it is a file like others; the head of a plain or gzip archive has told that before.
    return sorted.count === 0 ? undefined : { list, sorted: isPlain ? sorted : undefined, root }
  } catch (error) {
    // A compressed file whose inside is no tar is copied as it is; a tar that breaks off is an error.
    if (verdict === 'maybe' && isBadArchive(error) && (await readdir(root)).length === 0) {
      return undefined
    }
    throw error
  }
}

function isBadArchive(error: unknown): boolean {
  return errnoOf(error) === 'bad-archive'
}
