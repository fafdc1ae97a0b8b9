import {
  errnoOf,
  type LayerDirectory,
  type LayerEntry,
  type PackEntry,
  readContents,
} from '../../snapshotter/index.ts'
import type { Worker } from '../worker/protocol.ts'

/** An entry of a layer as one to pack: the bytes of files lie below `root`, and must be those of the table of contents. */
export function toPack(entry: LayerEntry, root: string): PackEntry {
  if (entry.type !== 'file') {
    return entry
  }
  const { digest, ...rest } = entry
  return { ...rest, source: { kind: 'path', root, path: entry.path }, expect: digest }
}

/** How reading a file fails that is not what it was. */
const DAMAGE_CODES: ReadonlySet<string> = new Set([
  'content-changed',
  'ENOENT',
  'ENOTDIR',
  'EISDIR',
  'ELOOP',
  'ENXIO',
  'EIO',
])

export interface UnpackedLayer {
  readonly directory: LayerDirectory
  /** Its table of contents. */
  readonly contents: string
}

/** Reads all files of an unpacked layer: whether each has the bytes of the table of contents. `temporary`: a file to write. */
export async function hasAllFiles(
  { directory, contents }: UnpackedLayer,
  worker: Pick<Worker, 'packEntries'>,
  temporary: string,
  signal: AbortSignal,
): Promise<boolean> {
  async function* entries(): AsyncGenerator<readonly PackEntry[]> {
    for await (const batch of readContents(contents)) {
      yield batch.map((entry) => toPack(entry, `${directory.path}/fs`))
    }
  }
  const target = { output: undefined, compression: 'uncompressed', level: undefined } as const
  try {
    await worker.packEntries(entries(), { ...target, contents: temporary }, signal)
    return true
  } catch (error) {
    signal.throwIfAborted()
    if (!DAMAGE_CODES.has(errnoOf(error) ?? '')) throw error
    return false
  }
}
