import { DEFAULT_REGISTRY } from '../oci/index.ts'
import { isInAddressBlock, isLoopbackAddress } from './address.ts'

/** Docker Hub's API is not where its name says (features row R2). */
const DOCKER_HUB_API = 'registry-1.docker.io'

/** Where the API of a registry, or of a mirror of it, answers. */
export interface Endpoint {
  /** Host and port as references name it: what credentials are looked up by. */
  readonly registry: string
  /** Ends with `/v2/`, or `/v2/<prefix>/` for a mirror below a path. */
  readonly baseUrl: URL
  /**
   * The other protocol, tried once when `baseUrl` does not answer: plain http only for registries
   * named as insecure (features row R5), TLS for loopback.
   */
  readonly fallbackUrl: URL | undefined
  /** The registry that this place is a mirror of, where mirrors are told. */
  readonly namespace?: string | undefined
  /** Extra headers for this place only. */
  readonly headers?: Readonly<Record<string, string>>
}

export interface EndpointPolicy {
  /**
   * Hosts, `host:port`, `*.domain` for all below it, or CIDR blocks whose certificates are not
   * checked and that may speak plain http.
   */
  readonly insecureRegistries: readonly string[]
  /**
   * Whether certificates were set up for this host, which then is spoken TLS with even on loopback.
   */
  hasCertificates(registry: string): boolean
  /** Whether authorities were named for no host in particular: loopback may mean TLS then. */
  readonly hasExtraAuthorities: boolean
}

/**
 * The endpoint of the registry itself: https, but plain http for loopback names (features row R4).
 */
export function endpointOf(registry: string, policy: EndpointPolicy): Endpoint {
  if (registry === DEFAULT_REGISTRY) {
    return { registry, baseUrl: new URL(`https://${DOCKER_HUB_API}/v2/`), fallbackUrl: undefined }
  }
  const secure = new URL(`https://${registry}/v2/`)
  const plain = new URL(`http://${registry}/v2/`)
  if (isInsecure(registry, policy.insecureRegistries))
    return { registry, baseUrl: secure, fallbackUrl: plain }
  if (!isLoopbackName(hostOf(registry)) || policy.hasCertificates(registry))
    return { registry, baseUrl: secure, fallbackUrl: undefined }
  return policy.hasExtraAuthorities
    ? { registry, baseUrl: secure, fallbackUrl: plain }
    : { registry, baseUrl: plain, fallbackUrl: secure }
}

/**
 * `localhost`, 127.0.0.0/8 and ::1, on any port. Other names that resolve to loopback are not
 * (features row R4).
 */
export function isLoopbackName(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '').toLowerCase()
  return host === 'localhost' || isLoopbackAddress(host)
}

/** Whether `registry` (host with optional port) is named by one of `rules`. */
export function isInsecure(registry: string, rules: readonly string[]): boolean {
  const host = hostOf(registry)
  return rules.some(
    (rule) =>
      rule === registry ||
      rule === host ||
      (rule.startsWith('*.') && host.endsWith(rule.slice(1))) ||
      isInAddressBlock(host, rule),
  )
}

/** Without port and brackets. */
function hostOf(registry: string): string {
  return registry.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
}
