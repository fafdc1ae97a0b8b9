import { formatPlatform, type Platform } from '../registry-client/oci/index.ts'
import type { BuildExports, SolvedPlatform } from './build-exports.ts'
import type { BuildSession } from './build-session.ts'
import type { CacheJournal } from './cache/journal.ts'
import { encodeCacheDocument, INLINE_ANNOTATION } from './cache/remote/cache-document.ts'
import { CachedLayerUnavailable } from './errors.ts'
import type { AnnotationRequest, CacheExport } from './request.ts'
import type { BuildLayer } from './solver/layer.ts'

/** A build whose graph is done, as far as caches are concerned. */
interface SolvedBuild {
  readonly platforms: readonly SolvedPlatform[]
  readonly journal: CacheJournal
  readonly exports: BuildExports
}

/**
 * Writes every `--cache-to` that is a place of its own, one after the other. Errors: those of the place, unless
 * `ignore-error` makes them a warning (features row C86).
 */
export async function exportCaches(
  session: BuildSession,
  solved: SolvedBuild,
  signal: AbortSignal,
): Promise<void> {
  for (const destination of session.request.cacheTo) {
    if (destination.type === 'inline') {
      continue
    }
    try {
      await exportTo(destination, session, solved, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (!destination.isErrorIgnored) {
        throw error
      }
      const reason = error instanceof Error ? error.message : String(error)
      session.steps.warning(`could not export the cache: ${reason}`)
    }
  }
}

/** A layer that another cache promised and cannot give is left out. */
async function exportTo(
  destination: Exclude<CacheExport, { type: 'inline' }>,
  { steps, services: { registry, kernel } }: BuildSession,
  { platforms, journal, exports }: SolvedBuild,
  signal: AbortSignal,
): Promise<void> {
  // Loaded here: a build without remote caches does without the code.
  const { exportCache } = await import('./cache/remote/export-cache.ts')
  const { services } = exports
  const missing = new Set<string>()
  for (;;) {
    try {
      const own = ownLayers(platforms, journal, destination.mode)
      const there = own.filter((layer) => !missing.has(layer.packed?.diffId ?? ''))
      const layers = await exports.inFormat(there, destination.format, signal)
      await exportCache(
        destination,
        { journal, layers },
        { registry, services, locker: kernel },
        signal,
      )
      return
    } catch (error) {
      if (!(error instanceof CachedLayerUnavailable) || missing.has(error.diffId)) {
        throw error
      }
      missing.add(error.diffId)
      steps.warning(`${error.message}; it is left out of the new cache`)
    }
  }
}

/** What `--cache-to type=inline` adds to the manifest of each image: the steps, and which layers it has. */
export async function inlineCaches(
  session: BuildSession,
  { platforms, journal }: Pick<SolvedBuild, 'platforms' | 'journal'>,
): Promise<AnnotationRequest[]> {
  if (!session.request.cacheTo.some(({ type }) => type === 'inline')) {
    return []
  }
  const { steps, aliases } = journal
  return await Promise.all(
    platforms.map(async ({ graph, layers }) => {
      const packed = await Promise.all(layers.map((layer) => layer.packing))
      const diffIds = packed.map(({ diffId }) => diffId)
      const value = encodeCacheDocument({ diffIds, steps, aliases })
      const platform = formatPlatform(platformOf(graph.config))
      return { level: 'manifest', platform, key: INLINE_ANNOTATION, value } as const
    }),
  )
}

function platformOf({ os, architecture, variant }: SolvedPlatform['graph']['config']): Platform {
  return { os, architecture, ...(variant === undefined || variant === '' ? {} : { variant }) }
}

/** Layers of steps that are here or can be fetched; base layers are had from where the base is. */
function ownLayers(
  platforms: readonly SolvedPlatform[],
  journal: CacheJournal,
  mode: 'min' | 'max',
): BuildLayer[] {
  const result = new Set(
    platforms.flatMap(({ layers }) => layers.map((layer) => layer.packed?.diffId)),
  )
  return journal.layers
    .filter((layer) => !layer.isNameOnly)
    .filter((layer) => mode === 'max' || result.has(layer.packed?.diffId))
}
