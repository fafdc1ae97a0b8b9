import type { LayerPath } from '../../snapshotter/index.ts'
import { cleanBelowRoot } from '../context/clean-path.ts'
import { CopyError } from './copy-errors.ts'
import type { TreeEntry, TreeView } from './copy-source.ts'

const LINKS_MAX = 255

export interface ResolvedPath {
  /** Where `path` leads: no component of it is a symlink. What does not exist is taken as it is written. */
  readonly path: LayerPath
  readonly entry: TreeEntry | undefined
  /** Set when a component is a file or something else that cannot be walked through. */
  readonly blockedBy: LayerPath | undefined
}

export interface ResolveOptions {
  /** False: a symlink as last component is not followed. */
  readonly followLast: boolean
}

/**
 * Follows the symlinks of `path` inside the root of `view`: absolute targets begin there, `..` never leaves it
 * (features rows D95, D101, D102, D136). Targets are joined by their text, as BuildKit does. `too-many-links` on a loop.
 */
export async function resolvePath(
  view: Pick<TreeView, 'lookup'>,
  path: string,
  options: ResolveOptions = { followLast: true },
): Promise<ResolvedPath> {
  const root = await view.lookup('')
  let rest = componentsOf(path)
  let resolved: string[] = []
  let entry = root
  let blockedBy: LayerPath | undefined
  let linkCount = 0
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    blockedBy ??= entry === undefined || entry.type === 'dir' ? undefined : entry.path
    const next = entry === undefined ? undefined : await view.lookup([...resolved, name].join('/'))
    const isFollowed = rest.length > 0 || options.followLast
    if (next?.type !== 'symlink' || !isFollowed) {
      resolved.push(name)
      entry = next
      continue
    }
    linkCount += 1
    if (linkCount > LINKS_MAX) {
      throw new CopyError(
        'too-many-links',
        `could not follow /${cleanBelowRoot(path)}: too many links`,
      )
    }
    rest = [...targetOf(next.target, resolved), ...rest]
    resolved = []
    entry = root
  }
  return { path: resolved.join('/'), entry: blockedBy === undefined ? entry : undefined, blockedBy }
}

/** Components of a symlink's target from the root. */
function targetOf(target: string, directory: readonly string[]): string[] {
  return componentsOf(target.startsWith('/') ? target : `${directory.join('/')}/${target}`)
}

function componentsOf(path: string): string[] {
  const clean = cleanBelowRoot(path)
  return clean === '' ? [] : clean.split('/')
}
