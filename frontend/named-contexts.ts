import type { ConvertOptions } from './convert-options.ts'
import type { GraphPlatform } from './graph.ts'
import { contextName, parseImageReference } from './image-reference.ts'
import { formatFullPlatform, normalizePlatform } from './platform.ts'

/**
 * The `--build-context` that takes the place of `name`: the one for the platform first, then the general one; undefined
 * when there is none. `scratch` and `context` are never replaced (features row D61).
 */
export function findNamedContext(
  options: Pick<ConvertOptions, 'namedContexts'>,
  name: string,
  platform: GraphPlatform,
): string | undefined {
  const { namedContexts } = options
  if (namedContexts.size === 0) return undefined
  const lower = name.toLowerCase()
  if (lower === 'scratch' || lower === 'context') return undefined
  const wanted = normalizeName(name)
  const forPlatform = `${wanted}::${formatFullPlatform(normalizePlatform(platform))}`
  let general: string | undefined
  for (const key of namedContexts) {
    if (normalizeKey(key) === forPlatform) return key
    if (normalizeKey(key) === wanted) general = key
  }
  return general
}

function normalizeKey(key: string): string {
  const at = key.indexOf('::')
  return at < 0 ? normalizeName(key) : normalizeName(key.slice(0, at)) + key.slice(at)
}

function normalizeName(name: string): string {
  const reference = parseImageReference(name)
  return 'fault' in reference ? name : contextName(reference)
}
