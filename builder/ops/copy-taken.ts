import type { LayerPath } from '../../snapshotter/index.ts'
import { cleanBelowRoot } from '../context/clean-path.ts'
import { CopyError } from './copy-errors.ts'
import type { SourceTree } from './copy-source.ts'
import { compileSegment, hasWildcard, splitPattern } from './match.ts'

export interface FruitlessPattern {
  /** As written after expansion. It selects nothing. */
  readonly pattern: string
  readonly isParents: boolean
  /** All paths and patterns that the build takes from the tree, this one too. */
  readonly taken: readonly string[]
}

/**
 * A pattern may match nothing (features row D100), but its directory has to be there. BuildKit sends of a context only what
 * steps name, so it is there when something else of it is taken. Fails with `source-missing`.
 */
export function checkTaken(
  tree: Pick<SourceTree, 'description'>,
  { pattern, isParents, taken }: FruitlessPattern,
): void {
  const directory = directoryOf(pattern, isParents)
  if (directory === '') return
  const own = cleanBelowRoot(pattern)
  const others = taken.map(cleanBelowRoot).filter((other) => other !== own)
  if (others.some((other) => mayTake(other, directory))) return
  throw new CopyError(
    'source-missing',
    `could not copy from ${tree.description}: "/${directory}": not found: "${pattern}" matches nothing, ` +
      'and nothing else is taken from there (no such file or directory)',
  )
}

/** The part before the first wildcard, or before the pivot of `--parents`; '' when that is the root. */
function directoryOf(pattern: string, isParents: boolean): LayerPath {
  if (!isParents) {
    const { base, patterns } = splitPattern(pattern)
    return patterns.length === 0 ? '' : base
  }
  const pivot = pattern.indexOf('/./')
  const base = pivot < 0 ? '' : pattern.slice(0, pivot)
  return hasWildcard(base) || !hasWildcard(pattern) ? '' : cleanBelowRoot(base)
}

/** Whether a path or pattern names a directory, what is in it, or what it is in. */
function mayTake(pattern: LayerPath, directory: LayerPath): boolean {
  const names = directory.split('/')
  for (const [index, segment] of pattern.split('/').entries()) {
    const name = names[index]
    if (name === undefined || segment === '' || segment === '**') return true
    if (!compileSegment(segment)(name)) return false
  }
  return true
}
