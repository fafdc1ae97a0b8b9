import type { DiffEntry } from '../snapshotter.ts'
import type { LayerPath } from './entry.ts'
import { type EntryPages, LINKS_MAX } from './layer-index.ts'
import { isLink, isPlaced, type TreeEntry } from './tree.ts'

/** The files of a layer that have several names: the only ones that are held. */
export class LinkTargets<E extends DiffEntry> {
  /** For each link the file that it leads to. */
  readonly #targets: ReadonlyMap<LayerPath, LayerPath>
  readonly #files: ReadonlyMap<LayerPath, TreeEntry<E>>

  private constructor(
    targets: ReadonlyMap<LayerPath, LayerPath>,
    files: ReadonlyMap<LayerPath, TreeEntry<E>>,
  ) {
    this.#targets = targets
    this.#files = files
  }

  static async of<E extends DiffEntry>(pages: EntryPages<E>): Promise<LinkTargets<E>> {
    const links = new Map<LayerPath, LayerPath>()
    for await (const page of pagesOf(pages)) {
      for (const entry of page) if (isLink(entry)) links.set(entry.path, entry.target)
    }
    const targets = new Map([...links.keys()].map((path) => [path, lastOf(path, links)]))
    const wanted = new Set(targets.values())
    const files = new Map<LayerPath, TreeEntry<E>>()
    if (wanted.size === 0) return new LinkTargets(targets, files)
    for await (const page of pagesOf(pages)) {
      for (const entry of page) {
        if (isPlaced(entry) && entry.type !== 'dir' && wanted.has(entry.path)) {
          files.set(entry.path, entry)
        }
      }
    }
    return new LinkTargets(targets, files)
  }

  /** The file that a link leads to; undefined for a link to nothing. */
  fileOf(link: LayerPath): TreeEntry<E> | undefined {
    return this.#files.get(this.#targets.get(link) ?? link)
  }

  /** Whether a file has another name. */
  has(file: LayerPath): boolean {
    return this.#files.has(file)
  }
}

async function* pagesOf<E extends DiffEntry>(pages: EntryPages<E>): AsyncGenerator<readonly E[]> {
  for (let index = 0; index < pages.count; index += 1) yield await pages.page(index)
}

function lastOf(link: LayerPath, links: ReadonlyMap<LayerPath, LayerPath>): LayerPath {
  let path = link
  for (let left = LINKS_MAX; left > 0; left -= 1) {
    const target = links.get(path)
    if (target === undefined) break
    path = target
  }
  return path
}
