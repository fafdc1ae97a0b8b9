import { RegistryError, restated } from '../errors.ts'
import type { HostClient } from '../host-client.ts'
import { OciError, type Reference } from '../oci/index.ts'
import type { PullSource } from './routing.ts'

/** A registry, and what a reference is called there. */
export interface PullPlace {
  readonly host: HostClient
  readonly reference: Reference
}

/** Runs work against the places that may have an image until one of them succeeds. */
export type PullPlaces = <T>(work: (place: PullPlace) => Promise<T>) => Promise<T>

/**
 * The places of `sources`, each tried when the ones before it failed; the last failure is thrown,
 * with what the mirrors had said. What does not come from a registry (an abort, a full disk) ends it
 * at once.
 */
export function pullPlaces(
  reference: Reference,
  sources: readonly PullSource[],
  hostOf: (source: PullSource) => HostClient,
): PullPlaces {
  return async (work) => {
    const earlier: string[] = []
    for (const [index, source] of sources.entries()) {
      const { registry, repository } = source
      try {
        const place = { host: hostOf(source), reference: { ...reference, registry, repository } }
        return await work(place)
      } catch (error) {
        if (index === sources.length - 1) throw withEarlier(error, earlier)
        earlier.push(`mirror ${registry}: ${reasonOf(error)}`)
      }
    }
    const reason = `nothing to pull from is configured for ${reference.registry}`
    throw new RegistryError('bad-configuration', reason)
  }
}

/** Why a mirror could not help; what is not a registry's failure is thrown again. */
function reasonOf(error: unknown): string {
  if (error instanceof RegistryError) return error.reason
  if (error instanceof OciError) return error.message
  throw error
}

function withEarlier(error: unknown, earlier: readonly string[]): unknown {
  if (earlier.length === 0 || !(error instanceof RegistryError)) return error
  return restated(error, `${error.reason} (before that, ${earlier.join('; ')})`)
}
