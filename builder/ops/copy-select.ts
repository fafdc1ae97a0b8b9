import type { Digest } from '../../registry-client/oci/index.ts'
import type { CopyNode, CopySource } from '../../frontend/index.ts'
import type { LayerPath } from '../../snapshotter/index.ts'
import { cleanBelowRoot, cleanPath } from '../context/clean-path.ts'
import { compileMatcher, type PathMatcher } from '../context/ignore.ts'
import { CopyError } from './copy-errors.ts'
import { ContentKey } from './copy-key.ts'
import { resolvePath } from './copy-resolve.ts'
import type { SourceTree, TreeEntry } from './copy-source.ts'
import { checkTaken } from './copy-taken.ts'
import { expandPattern, hasWildcard, splitPattern } from './match.ts'
import { SelectionFile, type SelectedItems } from './selection-file.ts'
import { SelectionWalk } from './selection-walk.ts'

type PathSource = Extract<CopySource, { type: 'path' }>

/** One path that a source names or that matches its pattern, symlinks followed. */
export interface SelectedMatch {
  /** Last component as it was matched: the name inside a destination directory. */
  readonly name: string
  readonly entry: TreeEntry
  /** Of files. */
  readonly digest: Digest | undefined
  /** What is below a directory; nothing for what is none. */
  readonly items: SelectedItems
}

/** What one source of COPY or ADD selects. */
export type SelectedSource =
  | {
      readonly type: 'path'
      readonly source: PathSource
      readonly tree: SourceTree
      readonly matches: readonly SelectedMatch[]
      /** Names all that was selected; see ContentKey. */
      readonly digest: Digest
    }
  | {
      readonly type: 'inline'
      readonly name: string
      readonly content: string
      readonly digest: Digest
    }

/** What all sources of a COPY or ADD select; disposing removes the lists. */
export interface Selection extends AsyncDisposable {
  readonly sources: readonly SelectedSource[]
}

export interface SelectOptions {
  readonly node: Pick<CopyNode, 'sources' | 'parents' | 'exclude'>
  readonly treeOf: (source: PathSource) => Promise<SourceTree>
  /** What the build takes from where a source is taken from. */
  readonly takenFrom: (source: PathSource) => readonly string[]
  /** Whom the digests are for. */
  readonly reader: 'copy' | 'mount'
  /** A name for a new file. */
  readonly newFile: () => string
}

/**
 * Finds what the sources of a COPY or ADD name, in their order, with the digests of all files: all that the key of the
 * step and its layer are made of. Wildcards may match nothing (features row D100); `source-missing` for a path that is
 * not there, `bad-pattern` for malformed patterns.
 */
export async function selectSources(options: SelectOptions): Promise<Selection> {
  const exclude = compileMatcher(options.node.exclude)
  const file = new SelectionFile(options.newFile)
  const sources: SelectedSource[] = []
  try {
    for (const source of options.node.sources) {
      const key = new ContentKey(source, options.reader)
      if (source.type === 'inline') {
        const { name, content } = source
        sources.push({ type: 'inline', name, content, digest: key.finish() })
      } else {
        const tree = await options.treeOf(source)
        const selector = new Selector(tree, source, exclude, file, key)
        const { parents: isParents } = options.node
        const matches = await selector.select(isParents)
        if (tree.isPartial === true && isFruitless(matches, isParents)) {
          const taken = options.takenFrom(source)
          checkTaken(tree, { pattern: source.pattern, isParents, taken })
        }
        sources.push({ type: 'path', source, tree, matches, digest: key.finish() })
      }
    }
  } catch (error) {
    await file[Symbol.asyncDispose]()
    throw error
  }
  return { sources, [Symbol.asyncDispose]: () => file[Symbol.asyncDispose]() }
}

/** With `--parents` the directory before the pivot is a match, too. */
function isFruitless(matches: readonly SelectedMatch[], isParents: boolean): boolean {
  return isParents ? matches.every(({ items }) => items.count === 0) : matches.length === 0
}

/** A path that a source names or matches. */
interface Found {
  readonly name: string
  readonly entry: TreeEntry
}

/** Finds what one source selects. */
class Selector {
  readonly #tree: SourceTree
  readonly #source: PathSource
  readonly #exclude: PathMatcher
  readonly #file: SelectionFile
  readonly #key: ContentKey

  constructor(
    tree: SourceTree,
    source: PathSource,
    exclude: PathMatcher,
    file: SelectionFile,
    key: ContentKey,
  ) {
    this.#tree = tree
    this.#source = source
    this.#exclude = exclude
    this.#file = file
    this.#key = key
  }

  async select(isParents: boolean): Promise<SelectedMatch[]> {
    const { pattern, isRemote } = this.#source
    if (isRemote) {
      const path = cleanBelowRoot(pattern)
      const entry = await this.#tree.lookup(path)
      return await this.#matches([found(path, entry ?? this.#missing(`/${path}`))])
    }
    return isParents
      ? await this.#selectWithParents()
      : await this.#matches(await this.#find(pattern))
  }

  /** `--parents`: all before `/./` is where the walk begins, the rest is the pattern of what is kept (features row D109). */
  async #selectWithParents(): Promise<SelectedMatch[]> {
    const source = this.#source.pattern
    const pivot = source.indexOf('/./')
    const base = pivot < 0 ? '/' : source.slice(0, pivot)
    const pattern = cleanBelowRoot(pivot < 0 ? source : source.slice(pivot + 3))
    // Nothing is behind the pivot of a file.
    const directories = (await this.#find(base)).filter(({ entry }) => entry.type === 'dir')
    const matches = await this.#matches(directories, compileMatcher([pattern]))
    const isRequired = !hasWildcard(base) && !hasWildcard(pattern)
    const hasAny = matches.some(({ items }) => items.hasOwn)
    if (isRequired && !hasAny) {
      this.#missing(cleanPath(`/${base}/${pattern}`))
    }
    return matches
  }

  /** What a pattern matches, links followed. */
  async #find(pattern: string): Promise<Found[]> {
    const all: Found[] = []
    for (const path of await this.#expand(pattern)) {
      const { entry } = await resolvePath(this.#tree, path)
      all.push(found(path, entry ?? this.#missing(`/${path}`)))
    }
    return all
  }

  /** The paths that a pattern matches; the pattern itself when it has no wildcard. */
  async #expand(pattern: string): Promise<LayerPath[]> {
    const { base, patterns } = splitPattern(pattern)
    if (patterns.length === 0) {
      return [base]
    }
    const { path, entry } = await resolvePath(this.#tree, base)
    if (entry === undefined) {
      this.#missing(`/${base}`)
    }
    return entry.type === 'dir' ? await expandPattern(this.#tree, path, patterns) : []
  }

  /** One call for all files that were named, so that they are hashed side by side. */
  async #matches(all: readonly Found[], include?: PathMatcher): Promise<SelectedMatch[]> {
    const files = all.flatMap(({ entry }) => (entry.type === 'file' ? [entry] : []))
    const digests = (await this.#tree.fileDigests(files)).values()
    const matches: SelectedMatch[] = []
    for (const { name, entry } of all) {
      const digest = entry.type === 'file' ? digests.next().value : undefined
      this.#key.beginMatch(name, entry, digest, this.#tree.identity)
      const walk = new SelectionWalk(this.#tree, entry.path, { include, exclude: this.#exclude })
      const items = await this.#file.list(entry.type === 'dir' ? walk.items(this.#key) : [])
      this.#key.endMatch(entry, items.count)
      matches.push({ name, entry, items, digest })
    }
    return matches
  }

  #missing(path: string): never {
    const reason = this.#tree.missingReason?.(path.slice(1))
    const suffix = reason === undefined ? '' : ` (${reason})`
    throw new CopyError(
      'source-missing',
      `could not copy from ${this.#tree.description}: "${path}": not found${suffix}`,
    )
  }
}

function found(path: LayerPath, entry: TreeEntry): Found {
  return { name: path.slice(path.lastIndexOf('/') + 1), entry }
}
