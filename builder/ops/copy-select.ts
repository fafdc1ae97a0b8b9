import type { Digest } from '../../registry-client/oci/index.ts'
import type { CopyNode, CopySource } from '../../frontend/index.ts'
import type { LayerPath } from '../../snapshotter/index.ts'
import { cleanBelowRoot, cleanPath } from '../context/clean-path.ts'
import { compileMatcher, type MatchScope, type PathMatcher } from '../context/ignore.ts'
import { CopyError } from './copy-errors.ts'
import { resolvePath } from './copy-resolve.ts'
import type { SourceTree, TreeEntry } from './copy-source.ts'
import { checkTaken } from './copy-taken.ts'
import { expandPattern, hasWildcard, splitPattern } from './match.ts'

type PathSource = Extract<CopySource, { type: 'path' }>

/** Something below a directory that a source names. */
export interface SelectedItem {
  /** Path below the directory. */
  readonly relative: LayerPath
  readonly entry: TreeEntry
  /** A directory that is there only because of what was selected below it (features rows D107, D109). */
  readonly isImplied: boolean
  /** Of files. */
  digest: Digest | undefined
}

/** One path that a source names or that matches its pattern, symlinks followed. */
export interface SelectedMatch {
  /** Last component as it was matched: the name inside a destination directory. */
  readonly name: string
  readonly entry: TreeEntry
  /** Of files. */
  readonly digest: Digest | undefined
  /** What is below a directory, parents first, sorted by components. */
  readonly items: readonly SelectedItem[]
}

/** What one source of COPY or ADD selects. */
export type SelectedSource =
  | {
      readonly type: 'path'
      readonly source: PathSource
      readonly tree: SourceTree
      readonly matches: readonly SelectedMatch[]
    }
  | { readonly type: 'inline'; readonly name: string; readonly content: string }

export interface SelectOptions {
  readonly node: Pick<CopyNode, 'sources' | 'parents' | 'exclude'>
  readonly treeOf: (source: PathSource) => Promise<SourceTree>
  /** What the build takes from where a source is taken from. */
  readonly takenFrom: (source: PathSource) => readonly string[]
}

/**
 * Finds what the sources of a COPY or ADD name, in their order, with the digests of all files: all that the key of the
 * step and its layer are made of. Wildcards may match nothing (features row D100); `source-missing` for a path that is
 * not there, `bad-pattern` for malformed patterns.
 */
export async function selectSources(options: SelectOptions): Promise<SelectedSource[]> {
  const exclude = compileMatcher(options.node.exclude)
  const selected: SelectedSource[] = []
  for (const source of options.node.sources) {
    if (source.type === 'inline') {
      selected.push({ type: 'inline', name: source.name, content: source.content })
    } else {
      const tree = await options.treeOf(source)
      const matches = await selectPath(tree, source, options.node.parents, exclude)
      const isParents = options.node.parents
      if (tree.isPartial === true && isFruitless(matches, isParents)) {
        const taken = options.takenFrom(source)
        checkTaken(tree, { pattern: source.pattern, isParents, taken })
      }
      selected.push({ type: 'path', source, tree, matches: await addDigests(tree, matches) })
    }
  }
  return selected
}

/** With `--parents` the directory before the pivot is a match, too. */
function isFruitless(matches: readonly SelectedMatch[], isParents: boolean): boolean {
  return isParents ? matches.every(({ items }) => items.length === 0) : matches.length === 0
}

async function selectPath(
  tree: SourceTree,
  source: PathSource,
  isParents: boolean,
  exclude: PathMatcher,
): Promise<SelectedMatch[]> {
  if (source.isRemote) {
    return [await selectMatch(tree, cleanBelowRoot(source.pattern), { exclude, isLiteral: true })]
  }
  if (isParents) {
    return selectWithParents(tree, source.pattern, exclude)
  }
  const paths = await expandSource(tree, source.pattern)
  return Promise.all(paths.map((path) => selectMatch(tree, path, { exclude, isLiteral: false })))
}

/** `--parents`: all before `/./` is where the walk begins, the rest is the pattern of what is kept (features row D109). */
async function selectWithParents(
  tree: SourceTree,
  source: string,
  exclude: PathMatcher,
): Promise<SelectedMatch[]> {
  const pivot = source.indexOf('/./')
  const base = pivot < 0 ? '/' : source.slice(0, pivot)
  const pattern = cleanBelowRoot(pivot < 0 ? source : source.slice(pivot + 3))
  const include = compileMatcher([pattern])
  const matches: SelectedMatch[] = []
  for (const path of await expandSource(tree, base)) {
    const match = await selectMatch(tree, path, { exclude, include, isLiteral: false })
    // Nothing is behind the pivot of a file.
    if (match.entry.type === 'dir') matches.push(match)
  }
  const isRequired = !hasWildcard(base) && !hasWildcard(pattern)
  const hasAny = matches.some(({ items }) => items.some((item) => !item.isImplied))
  if (isRequired && !hasAny) {
    throw sourceMissing(tree, cleanPath(`/${base}/${pattern}`))
  }
  return matches
}

/** The paths that a pattern matches; the pattern itself when it has no wildcard. */
async function expandSource(tree: SourceTree, source: string): Promise<LayerPath[]> {
  const { base, patterns } = splitPattern(source)
  if (patterns.length === 0) {
    return [base]
  }
  const { path, entry } = await resolvePath(tree, base)
  if (entry === undefined) {
    throw sourceMissing(tree, `/${base}`)
  }
  return entry.type === 'dir' ? expandPattern(tree, path, patterns) : []
}

interface MatchOptions {
  readonly exclude: PathMatcher
  readonly include?: PathMatcher
  /** The path is taken as it is: nothing in it is followed. */
  readonly isLiteral: boolean
}

async function selectMatch(
  tree: SourceTree,
  path: LayerPath,
  options: MatchOptions,
): Promise<SelectedMatch> {
  const entry = options.isLiteral ? await tree.lookup(path) : (await resolvePath(tree, path)).entry
  if (entry === undefined) {
    throw sourceMissing(tree, `/${path}`)
  }
  const items = entry.type === 'dir' ? await selectBelow(tree, entry.path, options) : []
  return { name: path.slice(path.lastIndexOf('/') + 1), entry, items, digest: undefined }
}

/** The selected part of what is below `root`, which is matched against patterns by its path from there. */
async function selectBelow(
  tree: SourceTree,
  root: LayerPath,
  options: MatchOptions,
): Promise<SelectedItem[]> {
  await tree.prefetch(root)
  const items: SelectedItem[] = []
  const walk = new SelectionWalk(tree, root, items)
  await walk.enter(root, options.include?.root, options.exclude.root)
  return items
}

/** Directories that were entered but not selected themselves wait on a stack until something below them is. */
class SelectionWalk {
  readonly #tree: SourceTree
  readonly #prefixLength: number
  readonly #items: SelectedItem[]
  readonly #waiting: TreeEntry[] = []

  constructor(tree: SourceTree, root: LayerPath, items: SelectedItem[]) {
    this.#tree = tree
    this.#prefixLength = root === '' ? 0 : root.length + 1
    this.#items = items
  }

  async enter(
    directory: LayerPath,
    include: MatchScope | undefined,
    exclude: MatchScope,
  ): Promise<void> {
    for (const entry of await this.#tree.list(directory)) {
      const relative = entry.path.slice(this.#prefixLength)
      if (entry.type === 'dir') {
        await this.#enterDirectory(entry, relative, include, exclude)
      } else if ((include?.isMatch(relative) ?? true) && !exclude.isMatch(relative)) {
        this.#select(entry, relative)
      }
    }
  }

  async #enterDirectory(
    entry: TreeEntry,
    relative: LayerPath,
    include: MatchScope | undefined,
    exclude: MatchScope,
  ): Promise<void> {
    const included = include?.enter(relative)
    const excluded = exclude.enter(relative)
    if (excluded.isClosed) {
      return
    }
    const isSelected = (included?.isMatch ?? true) && !excluded.isMatch
    if (isSelected) {
      this.#select(entry, relative)
    } else {
      this.#waiting.push(entry)
    }
    await this.enter(entry.path, included?.scope, excluded.scope)
    if (this.#waiting.at(-1) === entry) {
      this.#waiting.pop()
    }
  }

  #select(entry: TreeEntry, relative: LayerPath): void {
    for (const directory of this.#waiting.splice(0)) {
      const path = directory.path.slice(this.#prefixLength)
      this.#items.push({ relative: path, entry: directory, isImplied: true, digest: undefined })
    }
    this.#items.push({ relative, entry, isImplied: false, digest: undefined })
  }
}

/** One call for all files of a source, so that they are hashed side by side. */
async function addDigests(
  tree: SourceTree,
  matches: readonly SelectedMatch[],
): Promise<SelectedMatch[]> {
  const paths: LayerPath[] = []
  const ask = (entry: TreeEntry): void => {
    if (entry.type === 'file') {
      paths.push(entry.path)
    }
  }
  for (const { entry, items } of matches) {
    ask(entry)
    for (const item of items) {
      ask(item.entry)
    }
  }
  const digests = await tree.fileDigests(paths)
  let next = 0
  const take = (entry: TreeEntry): Digest | undefined =>
    entry.type === 'file' ? digests[next++] : undefined
  return matches.map((match) => {
    const digest = take(match.entry)
    for (const item of match.items) {
      item.digest = take(item.entry)
    }
    return { ...match, digest }
  })
}

function sourceMissing(tree: SourceTree, path: string): CopyError {
  const reason = tree.missingReason?.(path.slice(1))
  const suffix = reason === undefined ? '' : ` (${reason})`
  return new CopyError(
    'source-missing',
    `could not copy from ${tree.description}: "${path}": not found${suffix}`,
  )
}
