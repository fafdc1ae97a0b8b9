import { posix } from 'node:path'

/** Go's `path.Clean`: as `posix.normalize`, without the trailing slash. */
export function cleanPath(path: string): string {
  if (path === '') return '.'
  const normal = posix.normalize(path)
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal
}

/** `path` cleaned, below `base` when it is relative. `..` never climbs above `/`. */
export function joinAbsolute(base: string, path: string): string {
  return cleanPath(path.startsWith('/') ? path : `/${base}/${path}`)
}

/** Go's `path.Base`. */
export function baseName(path: string): string {
  if (path === '') return '.'
  const trimmed = path.replace(/\/+$/, '')
  if (trimmed === '') return '/'
  return trimmed.slice(trimmed.lastIndexOf('/') + 1)
}
