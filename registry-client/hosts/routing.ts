import type { Reference } from '../oci/index.ts'
import type { HostCertificateFiles } from '../transport/tls.ts'

/** One place that may have an image. */
export interface PullSource {
  /** Host and port: what credentials and certificates are looked up by. */
  readonly registry: string
  /** Path there: a mirror's prefix comes before the repository's own path. */
  readonly repository: string
  /** The configuration said `http://`. */
  readonly isPlainHttp: boolean
  /** What else the configuration says about it. */
  readonly endpoint?: SourceEndpoint
}

/** How to speak to a place for which its name does not say it. */
export interface SourceEndpoint {
  /** The API's address, with a slash at the end. */
  readonly baseUrl: URL
  /** Sent as `ns`: for which registry the mirror is asked (features row R14). */
  readonly namespace: string | undefined
  /** Sent to this place and nowhere else; names in lower case. */
  readonly headers: Readonly<Record<string, string>>
}

/**
 * Where images are pulled from instead of, or before, the registry that a reference names. Pushes
 * always go to the registry itself (features rows R10, R11).
 */
export interface Routing {
  /** In the order to try; throws RegistryError `bad-configuration` for a registry that is blocked. */
  pullSources(reference: Reference): readonly PullSource[]
  /** Registries that the configuration calls insecure. */
  readonly insecureRegistries: readonly string[]
  /** Certificates that the configuration has for hosts. */
  readonly hostCertificates?: ReadonlyMap<string, HostCertificateFiles>
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
    hostCertificates: new Map(
      routings.toReversed().flatMap(({ hostCertificates }) => [...(hostCertificates ?? [])]),
    ),
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
