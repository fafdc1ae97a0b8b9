import type { PackEntry } from '../../snapshotter/index.ts'
import type { FlatImage, FlatNode } from './flat-image.ts'

export interface FlatEntriesOptions {
  /** Where the files go, '' is the root. */
  readonly directory: string
  /** SOURCE_DATE_EPOCH: the time of everything; undefined: the times of the layers. */
  readonly epochSec: number | undefined
}

/**
 * What an image shows, in pages of entries to pack or make: in the order of their paths, a file with several names as one file
 * and hardlinks to it.
 */
export async function* flatEntries(
  flat: Pick<FlatImage, 'directoryOf' | 'pages'>,
  { directory, epochSec }: FlatEntriesOptions,
): AsyncGenerator<readonly PackEntry[]> {
  const prefix = directory === '' ? '' : `${directory}/`
  /** Of files with several names the one that came first. */
  const first = new Map<string, string>()
  const entryOf = (node: FlatNode): PackEntry => {
    const { entry } = node
    const path = `${prefix}${node.path}`
    const mtimeSec = epochSec ?? entry.mtimeSec
    if (entry.type !== 'file') return { ...entry, path, mtimeSec }
    const key = `${node.layer} ${node.source}`
    const target = first.get(key)
    const { digest: _digest, ...metadata } = entry
    if (target !== undefined) {
      const { mode, uid, gid } = metadata
      return { type: 'hardlink', path, target, mode, uid, gid, mtimeSec }
    }
    if (node.isLinked) first.set(key, path)
    const source = { kind: 'path', root: flat.directoryOf(node), path: node.source } as const
    return { ...metadata, path, mtimeSec, source }
  }
  for await (const page of flat.pages()) yield page.map(entryOf)
}
