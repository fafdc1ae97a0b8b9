import {
  anonymous,
  credentialsFor,
  type Credentials,
  type CredentialSource,
} from './auth/credentials.ts'
import { storedCredentials } from './auth/stored-credentials.ts'
import type { BlobSink, BlobSource } from './blob-stream.ts'
import { inOperation } from './errors.ts'
import { HostClient } from './host-client.ts'
import {
  type Descriptor,
  familiarName,
  familiarReference,
  type ManifestBytes,
  type Reference,
} from './oci/index.ts'
import { ping } from './ping.ts'
import { type FetchBlobOptions, fetchBlob } from './pull/blob.ts'
import { type FetchedConfig, fetchConfig } from './pull/config.ts'
import { type FetchedManifest, getManifest } from './pull/manifest.ts'
import { head, type ResolvedImage, type ResolveOptions, resolve } from './pull/resolve.ts'
import { type BlobPushResult, type PushBlobOptions, pushBlob } from './push/blob.ts'
import { hasBlob, pushAccess } from './push/has-blob.ts'
import { pushManifest } from './push/manifest.ts'
import { deleteManifest, listTags } from './tags.ts'
import { type Clock, systemClock } from './transport/clock.ts'
import { endpointOf } from './transport/endpoint.ts'
import type { Environment } from './transport/proxy.ts'
import { DEFAULT_TIMEOUTS, HttpTransport, type TransportTimeouts } from './transport/request.ts'
import { DEFAULT_RETRY_POLICY, type RetryPolicy } from './transport/retry.ts'
import { CertificateStore } from './transport/tls.ts'

/** All have defaults that suit a command on a user's machine. */
export interface RegistryClientOptions {
  /** Default: what Docker and Podman have stored, see `storedCredentials`. */
  readonly credentials?: CredentialSource
  /**
   * Hosts, `host:port` or CIDR blocks: certificates unchecked, plain http when there is no TLS
   * (features row R5).
   */
  readonly insecureRegistries?: readonly string[]
  /** PEM files with certificate authorities to trust besides the system's. */
  readonly caFiles?: readonly string[]
  /** Proxies, certificate and credential files are found by it. Default: `process.env`. */
  readonly env?: Environment
  readonly userAgent?: string
  readonly timeouts?: TransportTimeouts
  readonly retryPolicy?: RetryPolicy
  readonly clock?: Clock
  /** One line for the user, e.g. a warning that a registry sent. Default: dropped. */
  readonly onNotice?: (text: string) => void
}

/**
 * Pulls from and pushes to registries that speak the OCI distribution specification. Connections,
 * tokens and what was learned about a registry are kept as long as the client; dispose of it when
 * done, or its sockets keep the process alive for seconds. Every method throws RegistryError with
 * the operation in its message, the signal's reason when aborted, or what a sink or source threw.
 */
export class RegistryClient implements AsyncDisposable {
  readonly #options: RegistryClientOptions
  readonly #certificates: CertificateStore
  readonly #transport: HttpTransport
  readonly #source: CredentialSource
  readonly #hosts = new Map<string, HostClient>()

  constructor(options: RegistryClientOptions = {}) {
    const env = options.env ?? process.env
    this.#options = options
    this.#certificates = new CertificateStore({ env, caFiles: options.caFiles ?? [] })
    this.#source = options.credentials ?? storedCredentials(env)
    this.#transport = new HttpTransport({
      env,
      certificates: this.#certificates,
      insecureRegistries: options.insecureRegistries ?? [],
      userAgent: options.userAgent ?? 'tsbuild',
      timeouts: options.timeouts ?? DEFAULT_TIMEOUTS,
    })
  }

  /**
   * The image manifest that `reference` means for a platform. `no-platform-match` names what there
   * is instead.
   */
  resolve(reference: Reference, options: ResolveOptions): Promise<ResolvedImage> {
    return this.#pulling(reference, (host) => resolve(host, reference, options))
  }

  /**
   * What `reference` points to now, asked by HEAD where possible; undefined when there is no such
   * manifest.
   */
  head(
    reference: Reference,
    options: { readonly signal: AbortSignal },
  ): Promise<Descriptor | undefined> {
    return this.#pulling(reference, (host) => head(host, reference, options.signal))
  }

  /** The manifest or index itself, verified; no platform is chosen. */
  fetchManifest(
    reference: Reference,
    options: { readonly signal: AbortSignal },
  ): Promise<FetchedManifest> {
    const tagOrDigest = reference.digest ?? reference.tag ?? 'latest'
    return this.#pulling(reference, (host) =>
      getManifest(host, { repository: reference.repository, tagOrDigest }, options),
    )
  }

  /** The config that an image manifest of `reference`'s repository names. */
  fetchConfig(
    reference: Reference,
    descriptor: Descriptor,
    options: { readonly signal: AbortSignal },
  ): Promise<FetchedConfig> {
    const { repository } = reference
    return this.#pulling(reference, (host) =>
      fetchConfig(host, { repository, descriptor }, options.signal),
    )
  }

  /**
   * Brings a blob into `sink`, which is committed when digest and size are right, and aborted
   * otherwise.
   */
  fetchBlob(
    reference: Reference,
    descriptor: Descriptor,
    sink: BlobSink,
    options: FetchBlobOptions,
  ): Promise<void> {
    const { repository } = reference
    return this.#pulling(reference, (host) =>
      fetchBlob(host, { repository, descriptor }, sink, options),
    )
  }

  /** Whether the repository of `reference` holds a blob. */
  hasBlob(
    reference: Reference,
    descriptor: Descriptor,
    options: { readonly signal: AbortSignal },
  ): Promise<boolean> {
    const { repository } = reference
    return this.#pushing(reference, (host) =>
      hasBlob(host, { repository, descriptor, access: pushAccess(repository) }, options.signal),
    )
  }

  /** Makes the repository of `reference` hold a blob: it is there, or mounted, or uploaded. */
  pushBlob(
    reference: Reference,
    source: BlobSource,
    options: PushBlobOptions,
  ): Promise<BlobPushResult> {
    return this.#pushing(reference, (host) => pushBlob(host, reference.repository, source, options))
  }

  /**
   * Puts a manifest under the tag of `reference`, or under its digest when it has no tag. Blobs and
   * child manifests go first. Several tags: one call each.
   */
  pushManifest(
    reference: Reference,
    manifest: ManifestBytes,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    const target = {
      repository: reference.repository,
      tagOrDigest: reference.tag ?? manifest.digest,
    }
    return this.#pushing(reference, (host) => pushManifest(host, target, manifest, options.signal))
  }

  /** All tags of the repository of `reference`. */
  async listTags(
    reference: Reference,
    options: { readonly signal: AbortSignal },
  ): Promise<string[]> {
    const { registry, repository } = reference
    return inOperation(`list tags of ${familiarName(reference)}`, registry, () =>
      listTags(this.#host(registry), repository, options.signal),
    )
  }

  /** Removes the tag of `reference`, or the manifest and all its tags when it has a digest. */
  async deleteManifest(
    reference: Reference,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    const { registry, repository } = reference
    const tagOrDigest = reference.digest ?? reference.tag ?? 'latest'
    return inOperation(`delete ${familiarReference(reference)}`, registry, () =>
      deleteManifest(this.#host(registry), { repository, tagOrDigest }, options.signal),
    )
  }

  /** Whether the registry answers and takes the stored credentials. */
  ping(registry: string, options: { readonly signal: AbortSignal }): Promise<void> {
    return inOperation(`reach ${registry}`, registry, () =>
      ping(this.#host(registry), options.signal),
    )
  }

  /**
   * Whether the registry takes these credentials; undefined for none. Nothing is stored. Throws
   * `unauthorized`.
   */
  checkCredentials(
    registry: string,
    credentials: Credentials | undefined,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    const source = credentials === undefined ? anonymous : credentialsFor(registry, credentials)
    return inOperation(`log in to ${registry}`, registry, () =>
      ping(this.#makeHost(registry, source), options.signal),
    )
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#transport[Symbol.asyncDispose]()
  }

  #pulling<T>(reference: Reference, work: (host: HostClient) => Promise<T>): Promise<T> {
    const { registry } = reference
    return inOperation(`pull ${familiarReference(reference)}`, registry, async () =>
      work(this.#host(registry)),
    )
  }

  #pushing<T>(reference: Reference, work: (host: HostClient) => Promise<T>): Promise<T> {
    const { registry } = reference
    return inOperation(`push ${familiarReference(reference)}`, registry, async () =>
      work(this.#host(registry)),
    )
  }

  #host(registry: string): HostClient {
    const host = this.#hosts.get(registry) ?? this.#makeHost(registry, this.#source)
    this.#hosts.set(registry, host)
    return host
  }

  #makeHost(registry: string, source: CredentialSource): HostClient {
    const endpoint = endpointOf(registry, {
      insecureRegistries: this.#options.insecureRegistries ?? [],
      hasCertificates: (host) => this.#certificates.hasCertificates(host),
    })
    return new HostClient({
      endpoint,
      transport: this.#transport,
      source,
      clock: this.#options.clock ?? systemClock,
      retryPolicy: this.#options.retryPolicy ?? DEFAULT_RETRY_POLICY,
      onNotice: this.#options.onNotice ?? ((): void => undefined),
    })
  }
}
