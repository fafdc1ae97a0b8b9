import type { Digest } from '../../registry-client/oci/index.ts'
import type { LayerPath, PackEntry } from '../../snapshotter/index.ts'
import type { MatchScope, PathMatcher } from '../context/ignore.ts'
import type { ContentKey } from './copy-key.ts'
import { placeOf, type SourceTree, type TreeEntry, type TreeFile } from './copy-source.ts'
import type { SelectedItem } from './selection-file.ts'

export interface SelectionFilter {
  readonly include: PathMatcher | undefined
  readonly exclude: PathMatcher
}

/** An entry that was chosen. */
interface Chosen {
  readonly entry: TreeEntry
  /** Path from where the walk began. */
  readonly relative: LayerPath
  readonly isImplied: boolean
}

/** The selected part of what is below a directory, which is matched against patterns by its path from there. */
export class SelectionWalk {
  readonly #tree: SourceTree
  readonly #root: LayerPath
  readonly #filter: SelectionFilter
  /** For each file that may have other names the one that came first. */
  readonly #firstNames = new Map<string, LayerPath>()

  constructor(tree: SourceTree, root: LayerPath, filter: SelectionFilter) {
    this.#tree = tree
    this.#root = root
    this.#filter = filter
  }

  /** In pages; all of it is told to `key`. Files are hashed while the next page is being found. */
  async *items(key: ContentKey): AsyncGenerator<readonly SelectedItem[]> {
    for await (const chosen of ahead(this.#choose())) {
      const files = chosen.flatMap(({ entry }) => (entry.type === 'file' ? [entry] : []))
      const digests = (await this.#tree.fileDigests(files)).values()
      yield chosen.map(({ entry, relative, isImplied }) => {
        const digest = entry.type === 'file' ? digests.next().value : undefined
        const firstName = this.#firstName(entry, relative)
        key.item(relative, { entry, isImplied, digest, hardlinkTo: firstName })
        return { entry: toEntry(entry, relative, digest, firstName), isImplied }
      })
    }
  }

  async *#choose(): AsyncGenerator<readonly Chosen[]> {
    const prefixLength = this.#root === '' ? 0 : this.#root.length + 1
    const chooser = new Chooser(this.#filter, prefixLength)
    for await (const page of this.#tree.walk(this.#root)) {
      const chosen: Chosen[] = []
      for (const entry of page) {
        chooser.choose(entry, chosen)
      }
      if (chosen.length > 0) {
        yield chosen
      }
    }
  }

  /** The first name of the file that `entry` is another name of. */
  #firstName(entry: TreeEntry, relative: LayerPath): LayerPath | undefined {
    const group = entry.type === 'file' ? entry.linkGroup : undefined
    const first = group === undefined ? undefined : this.#firstNames.get(group)
    if (group !== undefined && first === undefined) {
      this.#firstNames.set(group, relative)
    }
    return first
  }
}

interface OpenDirectory {
  readonly prefix: string
  readonly include: MatchScope | undefined
  /** Undefined: nothing below it is chosen. */
  readonly exclude: MatchScope | undefined
}

/** Directories that were entered but not chosen themselves wait until something below them is. */
class Chooser {
  readonly #isPlain: boolean
  readonly #prefixLength: number
  readonly #open: OpenDirectory[]
  readonly #waiting: Chosen[] = []

  constructor({ include, exclude }: SelectionFilter, prefixLength: number) {
    this.#isPlain = include === undefined && !exclude.hasPatterns
    this.#prefixLength = prefixLength
    this.#open = [{ prefix: '', include: include?.root, exclude: exclude.root }]
  }

  /** Entries come in the order of a walk. */
  choose(entry: TreeEntry, chosen: Chosen[]): void {
    const relative = this.#prefixLength === 0 ? entry.path : entry.path.slice(this.#prefixLength)
    if (this.#isPlain) {
      chosen.push({ entry, relative, isImplied: false })
      return
    }
    while (this.#open.length > 1 && !relative.startsWith(this.#open.at(-1)?.prefix ?? '')) {
      this.#open.pop()
    }
    while (this.#waiting.length > 0 && !relative.startsWith(`${this.#waiting.at(-1)?.relative}/`)) {
      this.#waiting.pop()
    }
    const { include, exclude } = this.#open.at(-1) ?? {}
    if (exclude === undefined) {
      return
    }
    if (entry.type === 'dir') {
      this.#enter(entry, relative, include, exclude, chosen)
    } else if ((include?.isMatch(relative) ?? true) && !exclude.isMatch(relative)) {
      chosen.push(...this.#waiting.splice(0), { entry, relative, isImplied: false })
    }
  }

  #enter(
    entry: TreeEntry,
    relative: LayerPath,
    include: MatchScope | undefined,
    exclude: MatchScope,
    chosen: Chosen[],
  ): void {
    const included = include?.enter(relative)
    const excluded = exclude.enter(relative)
    const prefix = `${relative}/`
    if (excluded.isClosed) {
      this.#open.push({ prefix, include: undefined, exclude: undefined })
      return
    }
    this.#open.push({ prefix, include: included?.scope, exclude: excluded.scope })
    if ((included?.isMatch ?? true) && !excluded.isMatch) {
      chosen.push(...this.#waiting.splice(0), { entry, relative, isImplied: false })
    } else {
      this.#waiting.push({ entry, relative, isImplied: true })
    }
  }
}

/** The list while its next page is being made. */
async function* ahead<T>(pages: AsyncGenerator<T>): AsyncGenerator<T> {
  try {
    let next = pages.next()
    for (;;) {
      const { done, value } = await next
      if (done === true) {
        return
      }
      next = pages.next()
      // Told when its turn comes.
      next.catch(() => undefined)
      yield value
    }
  } finally {
    await pages.return(undefined)
  }
}

function toEntry(
  entry: TreeEntry,
  path: LayerPath,
  digest: Digest | undefined,
  hardlinkTo: LayerPath | undefined,
): PackEntry {
  if (entry.type !== 'file') {
    return { ...entry, path }
  }
  const { mode, uid, gid, mtimeSec } = entry
  return hardlinkTo === undefined
    ? fileEntry(entry, path, digest)
    : { type: 'hardlink', path, mode, uid, gid, mtimeSec, target: hardlinkTo }
}

/** Made for nearly every entry: in one piece. */
function fileEntry(file: TreeFile, path: LayerPath, expect: Digest | undefined): PackEntry {
  const { mode, uid, gid, mtimeSec, sizeBytes, xattrs } = file
  const { root, path: at } = placeOf(file)
  const source = { kind: 'path', root, path: at } as const
  return {
    ...{ type: 'file', path, mode, uid, gid, mtimeSec, sizeBytes, source },
    ...(expect === undefined ? {} : { expect }),
    ...(xattrs === undefined ? {} : { xattrs }),
  }
}
