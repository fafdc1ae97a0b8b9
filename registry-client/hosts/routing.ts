import type { Reference } from '../oci/index.ts'

/** One place that may have an image. */
export interface PullSource {
  /** Host and port: what credentials and certificates are looked up by. */
  readonly registry: string
  /** Path there: a mirror's prefix comes before the repository's own path. */
  readonly repository: string
  /** The configuration said `http://`. */
  readonly isPlainHttp: boolean
}

/**
 * Where images are pulled from instead of, or before, the registry that a reference names. Pushes
 * always go to the registry itself (features rows R10, R11).
 */
export interface Routing {
  /** In the order to try; throws RegistryError `denied` for a registry that is blocked. */
  pullSources(reference: Reference): readonly PullSource[]
  /** Registries that the configuration calls insecure. */
  readonly insecureRegistries: readonly string[]
}

/** Everything from where its name says. */
export const directRouting: Routing = {
  pullSources: (reference) => [originOf(reference)],
  insecureRegistries: [],
}

export function originOf(reference: Reference): PullSource {
  return { registry: reference.registry, repository: reference.repository, isPlainHttp: false }
}

/**
 * The routing of several configurations: the first that does more than name the registry itself
 * decides.
 */
export function firstRouting(routings: readonly Routing[]): Routing {
  return {
    pullSources(reference) {
      for (const routing of routings) {
        const sources = routing.pullSources(reference)
        const [first] = sources
        const isOrigin =
          first?.registry === reference.registry && first.repository === reference.repository
        if (sources.length > 1 || !isOrigin) return sources
      }
      return [originOf(reference)]
    },
    insecureRegistries: routings.flatMap((routing) => routing.insecureRegistries),
  }
}
