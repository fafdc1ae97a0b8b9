import type { CredentialSource } from './auth/credentials.ts'
import { storedCredentials } from './auth/stored-credentials.ts'
import { HostClient } from './host-client.ts'
import type { PullSource, Routing } from './hosts/routing.ts'
import { type Clock, systemClock } from './transport/clock.ts'
import { type Endpoint, endpointOf } from './transport/endpoint.ts'
import type { Environment } from './transport/proxy.ts'
import { DEFAULT_TIMEOUTS, HttpTransport, type TransportTimeouts } from './transport/request.ts'
import { DEFAULT_RETRY_POLICY, type RetryPolicy } from './transport/retry.ts'
import { CertificateStore, type HostCertificateFiles } from './transport/tls.ts'

/** All have defaults that suit a command on a user's machine. */
export interface RegistryClientOptions {
  /** Default: what Docker and Podman have stored, see `storedCredentials`. */
  readonly credentials?: CredentialSource
  /**
   * Hosts, `host:port`, `*.domain` or CIDR blocks: certificates unchecked, plain http when there is
   * no TLS (features row R5).
   */
  readonly insecureRegistries?: readonly string[]
  /** PEM files with certificate authorities to trust besides the system's. */
  readonly caFiles?: readonly string[]
  /** Certificate files for single hosts, as references name them. */
  readonly hostCertificates?: ReadonlyMap<string, HostCertificateFiles>
  /** Proxies, certificate and credential files are found by it. Default: `process.env`. */
  readonly env?: Environment
  /** Mirrors. Default: none; `systemRouting` gives what this machine's configuration says. */
  readonly routing?: Routing
  readonly userAgent?: string
  readonly timeouts?: TransportTimeouts
  readonly retryPolicy?: RetryPolicy
  readonly clock?: Clock
  /** One line for the user, e.g. a warning that a registry sent. Default: dropped. */
  readonly onNotice?: (text: string) => void
}

/** A registry or a mirror, and how it is reached. */
type HostPlace = Pick<PullSource, 'registry' | 'isPlainHttp' | 'endpoint'>

/**
 * One client for each registry and mirror, made when it is first asked for: they share connections and certificates. Disposing
 * ends all connections.
 */
export class HostClients implements AsyncDisposable {
  readonly #options: RegistryClientOptions
  readonly #certificates: CertificateStore
  readonly #transport: HttpTransport
  readonly #source: CredentialSource
  readonly #insecureRegistries: readonly string[]
  readonly #clients = new Map<string, HostClient>()

  constructor(options: RegistryClientOptions, routing: Routing) {
    const env = options.env ?? process.env
    this.#options = options
    this.#source = options.credentials ?? storedCredentials(env)
    this.#certificates = new CertificateStore({
      env,
      caFiles: options.caFiles ?? [],
      hostFiles: new Map([
        ...(routing.hostCertificates ?? []),
        ...(options.hostCertificates ?? []),
      ]),
    })
    this.#insecureRegistries = [
      ...(options.insecureRegistries ?? []),
      ...routing.insecureRegistries,
    ]
    this.#transport = new HttpTransport({
      env,
      certificates: this.#certificates,
      insecureRegistries: this.#insecureRegistries,
      userAgent: options.userAgent ?? 'tsbuild',
      timeouts: options.timeouts ?? DEFAULT_TIMEOUTS,
    })
  }

  /** The client of a registry itself. */
  of(registry: string): HostClient {
    return this.at({ registry, isPlainHttp: false })
  }

  at(place: HostPlace): HostClient {
    const { registry, isPlainHttp, endpoint } = place
    const key = JSON.stringify([registry, isPlainHttp, endpoint?.baseUrl, endpoint?.namespace])
    const client = this.#clients.get(key) ?? this.#make(place, this.#source)
    this.#clients.set(key, client)
    return client
  }

  /** A client of its own that has other credentials, and shares no token. */
  withCredentials(registry: string, source: CredentialSource): HostClient {
    return this.#make({ registry, isPlainHttp: false }, source)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#transport[Symbol.asyncDispose]()
  }

  #make(place: HostPlace, source: CredentialSource): HostClient {
    return new HostClient({
      endpoint: this.#endpointOf(place),
      transport: this.#transport,
      source,
      clock: this.#options.clock ?? systemClock,
      retryPolicy: this.#options.retryPolicy ?? DEFAULT_RETRY_POLICY,
      onNotice: (text) => this.#options.onNotice?.(text),
    })
  }

  #endpointOf({ registry, isPlainHttp, endpoint }: HostPlace): Endpoint {
    if (endpoint !== undefined) return { registry, fallbackUrl: undefined, ...endpoint }
    if (isPlainHttp) {
      return { registry, baseUrl: new URL(`http://${registry}/v2/`), fallbackUrl: undefined }
    }
    return endpointOf(registry, {
      insecureRegistries: this.#insecureRegistries,
      hasCertificates: (host) => this.#certificates.hasCertificates(host),
      hasExtraAuthorities: (this.#options.caFiles ?? []).length > 0,
    })
  }
}
