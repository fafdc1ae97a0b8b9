import { anonymous, credentialsFor, type Credentials } from './auth/credentials.ts'
import type { BlobProgress, BlobSink, BlobSource, GrowingSource } from './blob-stream.ts'
import { type CopyOptions, type CopySource, copyImage } from './copy.ts'
import { inOperation } from './errors.ts'
import type { HostClient } from './host-client.ts'
import { HostClients, type RegistryClientOptions } from './host-clients.ts'
import { MirrorNotices } from './hosts/mirror-notices.ts'
import { type PullPlaces, pullPlaces } from './hosts/pull-places.ts'
import { directRouting, type Routing } from './hosts/routing.ts'
import {
  type Descriptor,
  type Digest,
  familiarName,
  familiarReference,
  type ManifestBytes,
  type Reference,
  withDigest,
} from './oci/index.ts'
import { ping } from './ping.ts'
import { type FetchBlobOptions, fetchBlob } from './pull/blob.ts'
import { fetchBytes } from './pull/bytes.ts'
import type { FetchedManifest } from './pull/manifest.ts'
import { fetchTop, head, type ResolvedImage, type ResolveOptions, resolve } from './pull/resolve.ts'
import {
  type BegunUpload,
  type BlobPushResult,
  type PushBlobOptions,
  pushBlob,
} from './push/blob.ts'
import { checkPush } from './push/check-push.ts'
import { EarlyUpload } from './push/early-upload.ts'
import { hasBlob, pushAccess } from './push/has-blob.ts'
import { pushManifest } from './push/manifest.ts'
import { listReferrers } from './referrers.ts'
import { repositorySource } from './repository-source.ts'
import { deleteManifest, listTags } from './tags.ts'

/**
 * Pulls from and pushes to registries that speak the OCI distribution specification. Connections,
 * tokens and what was learned about a registry are kept as long as the client; dispose of it when
 * done, or its sockets keep the process alive for seconds. Every method throws RegistryError with
 * the operation in its message, the signal's reason when aborted, or what a sink or source threw.
 */
export class RegistryClient implements AsyncDisposable {
  readonly #routing: Routing
  readonly #hosts: HostClients
  readonly #mirrors: MirrorNotices

  constructor(options: RegistryClientOptions = {}) {
    this.#mirrors = new MirrorNotices((text) => options.onNotice?.(text))
    this.#routing = options.routing ?? directRouting
    this.#hosts = new HostClients(options, this.#routing)
  }

  /**
   * The image manifest that `reference` means for a platform. `no-platform-match` names what there
   * is instead.
   */
  resolve(reference: Reference, options: ResolveOptions): Promise<ResolvedImage> {
    return this.#pulling(reference, async (places) => {
      const image = await places(async (place) => {
        const found = await resolve(place.host, place.reference, options)
        this.#mirrors.served(reference, place)
        return found
      })
      return { ...image, reference: withDigest(reference, image.top.digest) }
    })
  }

  /**
   * What `reference` points to now, asked by HEAD where possible; undefined when there is no such
   * manifest.
   */
  head(
    reference: Reference,
    options: { readonly signal: AbortSignal },
  ): Promise<Descriptor | undefined> {
    return this.#pulling(reference, (places) => head(places, options.signal))
  }

  /**
   * The manifest or index itself, verified; no platform is chosen. With `readManifest` only a HEAD
   * is sent when the name still points to what is at hand.
   */
  fetchManifest(
    reference: Reference,
    options: Pick<ResolveOptions, 'signal' | 'readManifest'>,
  ): Promise<FetchedManifest> {
    return this.#pulling(reference, (places) =>
      places(async (place) => {
        const found = await fetchTop(place.host, place.reference, options)
        this.#mirrors.served(reference, place)
        return found
      }),
    )
  }

  /** A small blob (an image's config) of `reference`'s repository, verified. Errors: also `too-large`. */
  fetchBytes(
    reference: Reference,
    descriptor: Descriptor,
    bytesMax: number,
    options: { readonly signal: AbortSignal },
  ): Promise<Uint8Array> {
    return this.#pulling(reference, (places) =>
      fetchBytes(places, descriptor, bytesMax, options.signal),
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
    return this.#pulling(reference, (places) => fetchBlob(places, descriptor, sink, options))
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

  /**
   * Makes sure, before hours of work, that the repository of `reference` may be pushed to. Throws
   * `unauthorized`, `denied` or `not-found` when it may not.
   */
  checkPush(reference: Reference, options: { readonly signal: AbortSignal }): Promise<void> {
    return this.#pushing(reference, (host) => checkPush(host, reference.repository, options.signal))
  }

  /**
   * Begins the upload of a blob that is still being made. Nothing is thrown, whatever fails: it is an attempt, which `pushBlob`
   * ends (`PushBlobOptions.begun`) or does without. Else it is to be disposed of; the signal does so too.
   */
  beginBlob(
    reference: Reference,
    source: GrowingSource,
    options: { readonly signal: AbortSignal; readonly onProgress?: BlobProgress },
  ): BegunUpload {
    const { registry, repository } = reference
    const host = this.#hosts.of(registry)
    return new EarlyUpload({ host, repository, access: pushAccess(repository), source, ...options })
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

  /**
   * Copies an image, or an index with all its images, to `target`; see `CopySource` for where from,
   * `repositorySource` for another repository. Gives what the name of `target` leads to then.
   */
  copy(source: CopySource, target: Reference, options: CopyOptions): Promise<ManifestBytes> {
    const { registry } = target
    // What can be wrong with bytes is wrong with the source's.
    const from = source.origin?.registry ?? 'the source'
    return inOperation(`copy to ${familiarReference(target)}`, from, () =>
      copyImage(source, { host: this.#hosts.of(registry), reference: target }, options),
    )
  }

  /** What `reference` names, to copy it elsewhere; its blobs go through without being stored. */
  repositorySource(reference: Reference): CopySource {
    return repositorySource(this, reference, (work) =>
      this.#pulling(reference, (tryAll) => tryAll(work)),
    )
  }

  /** What refers to the manifest `subject` in the repository of `reference`: signatures and such. */
  async referrers(
    reference: Reference,
    subject: Digest,
    options: { readonly signal: AbortSignal; readonly artifactType?: string },
  ): Promise<Descriptor[]> {
    const { registry, repository } = reference
    const query = { repository, subject, artifactType: options.artifactType }
    return inOperation(`list referrers of ${subject}`, registry, () =>
      listReferrers(this.#hosts.of(registry), query, options.signal),
    )
  }

  /** All tags of the repository of `reference`. */
  async listTags(
    reference: Reference,
    options: { readonly signal: AbortSignal },
  ): Promise<string[]> {
    const { registry, repository } = reference
    return inOperation(`list tags of ${familiarName(reference)}`, registry, () =>
      listTags(this.#hosts.of(registry), repository, options.signal),
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
      deleteManifest(this.#hosts.of(registry), { repository, tagOrDigest }, options.signal),
    )
  }

  /** Whether the registry answers and takes the stored credentials. */
  ping(registry: string, options: { readonly signal: AbortSignal }): Promise<void> {
    return inOperation(`reach ${registry}`, registry, () =>
      ping(this.#hosts.of(registry), options.signal),
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
      ping(this.#hosts.withCredentials(registry, source), options.signal),
    )
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#hosts[Symbol.asyncDispose]()
  }

  #pulling<T>(reference: Reference, work: (places: PullPlaces) => Promise<T>): Promise<T> {
    return inOperation(`pull ${familiarReference(reference)}`, reference.registry, async () => {
      const sources = this.#routing.pullSources(reference)
      return work(pullPlaces(reference, sources, (source) => this.#hosts.at(source)))
    })
  }

  #pushing<T>(reference: Reference, work: (host: HostClient) => Promise<T>): Promise<T> {
    const { registry } = reference
    return inOperation(`push ${familiarReference(reference)}`, registry, async () =>
      work(this.#hosts.of(registry)),
    )
  }
}
