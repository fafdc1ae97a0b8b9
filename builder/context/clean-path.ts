import { posix } from 'node:path'

/**
 * The shortest path that names the same place by its text alone, as Go's `path.Clean`: `.` and empty components go,
 * `..` takes the component before it, above `/` it is dropped. The empty path is `.`.
 */
export function cleanPath(path: string): string {
  const normal = posix.normalize(path)
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal
}

/** `path` seen from a root: components without leading slash; `..` never leaves it. The root itself is ''. */
export function cleanBelowRoot(path: string): string {
  return cleanPath(`/${path}`).slice(1)
}
