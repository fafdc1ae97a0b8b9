import type { LayerPath } from './entry.ts'
import { encodePath } from './path-bytes.ts'

const SLASH = 0x2f

/**
 * Orders paths by their components' bytes, parents before children: the order of `Kernel.scanTree`, of tables of contents
 * and of new layers (features row O31).
 */
export function comparePaths(a: LayerPath, b: LayerPath): number {
  const length = Math.min(a.length, b.length)
  for (let index = 0; index < length; index += 1) {
    const left = a.charCodeAt(index)
    const right = b.charCodeAt(index)
    if (left === right) continue
    // Above the surrogates UTF-16 does not sort as UTF-8 does, and lone ones stand for raw bytes.
    if (left >= 0xd800 || right >= 0xd800) return compareBytes(a, b)
    return rank(left) - rank(right)
  }
  return a.length - b.length
}

/** The separator sorts before every byte that a name can have. */
function rank(unit: number): number {
  return unit === SLASH ? 0 : unit
}

function compareBytes(a: LayerPath, b: LayerPath): number {
  const left = encodePath(a)
  const right = encodePath(b)
  const length = Math.min(left.length, right.length)
  for (let index = 0; index < length; index += 1) {
    const difference = rank(left[index] ?? 0) - rank(right[index] ?? 0)
    if (difference !== 0) return difference
  }
  return left.length - right.length
}

/** The directory that holds `path`; '' for the root's children and the root itself. */
export function parentOf(path: LayerPath): LayerPath {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? '' : path.slice(0, slash)
}

/** The last component. */
export function nameOf(path: LayerPath): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

export function joinPath(directory: LayerPath, name: string): LayerPath {
  return directory === '' ? name : `${directory}/${name}`
}
