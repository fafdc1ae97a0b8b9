import type { DiffEntry } from '../snapshotter.ts'
import type { LayerPath } from './entry.ts'
import { type EntryPages, type LayerFinding, LayerIndex } from './layer-index.ts'
import { isLink } from './tree.ts'

/** Which files of a layer have several names. Of each only a number is held; the files are looked up. */
export class LinkTargets<E extends DiffEntry> {
  readonly #index: LayerIndex<E>
  readonly #targets: ReadonlySet<number>

  private constructor(index: LayerIndex<E>, targets: ReadonlySet<number>) {
    this.#index = index
    this.#targets = targets
  }

  static async of<E extends DiffEntry>(pages: EntryPages<E>): Promise<LinkTargets<E>> {
    const targets = new Set<number>()
    for (let index = 0; index < pages.count; index += 1) {
      for (const entry of await pages.page(index)) {
        if (isLink(entry)) targets.add(hashOf(entry.target))
      }
    }
    return new LinkTargets(new LayerIndex(pages), targets)
  }

  /** What a link with this target leads to, with the path of its bytes; no entry for a link to nothing. */
  async find(target: LayerPath): Promise<Pick<LayerFinding<E>, 'entry' | 'source'>> {
    return await this.#index.find(target)
  }

  /** False: the file has no other name. One among millions that has none may be said to have some. */
  mayHave(file: LayerPath): boolean {
    return this.#targets.has(hashOf(file))
  }
}

/** FNV-1a of the code units, in 30 bits: numbers of that size are held without an object each. */
function hashOf(path: LayerPath): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < path.length; at += 1) {
    hash = Math.imul(hash ^ path.charCodeAt(at), 0x01000193)
  }
  return (hash ^ (hash >>> 30)) & 0x3fffffff
}
