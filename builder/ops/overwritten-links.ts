import type { LayerPath, PackEntry } from '../../snapshotter/index.ts'
import type { Contribution } from './merged-lists.ts'

type FileEntry = Extract<PackEntry, { type: 'file' }>

/**
 * Names of one file stay names of one file when the first of them, which held its bytes, was overwritten: the next one holds
 * them then (features row D103).
 */
export class OverwrittenLinks {
  /** By list and path. */
  readonly #files = new Map<string, FileEntry>()
  /** Where such a file is now. */
  readonly #moved = new Map<string, LayerPath>()

  overwrite({ list, entry }: Contribution): void {
    if (entry.type === 'file') {
      this.#files.set(keyOf(list, entry.path), entry)
    }
  }

  /** The entry as it is to be packed. */
  follow({ list, entry }: Contribution): PackEntry {
    if (entry.type !== 'hardlink' || this.#files.size === 0) {
      return entry
    }
    const key = keyOf(list, entry.target)
    const target = this.#moved.get(key)
    if (target !== undefined) {
      return { ...entry, target }
    }
    const file = this.#files.get(key)
    if (file === undefined) {
      return entry
    }
    this.#moved.set(key, entry.path)
    return { ...file, path: entry.path }
  }
}

function keyOf(list: number, path: LayerPath): string {
  return `${list}:${path}`
}
