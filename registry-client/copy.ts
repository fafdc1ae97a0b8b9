import type { BlobProgress, BlobSource } from './blob-stream.ts'
import { RegistryError } from './errors.ts'
import type { HostClient } from './host-client.ts'
import {
  bestPlatform,
  CONFIG_BYTES_MAX,
  type Descriptor,
  type Digest,
  digestHex,
  formatPlatform,
  type ImageManifest,
  isIndexType,
  isManifestType,
  type ManifestBytes,
  parseImageConfig,
  type Platform,
  type Reference,
} from './oci/index.ts'
import { type FetchedManifest, headManifest } from './pull/manifest.ts'
import { choose, INDEX_DEPTH_MAX, indexTooDeep } from './pull/resolve.ts'
import { type BlobPushResult, pushBlob } from './push/blob.ts'
import { pushManifest } from './push/manifest.ts'

/** Something that images are copied from: a repository, a layout directory. */
export interface CopySource {
  /** What its name leads to. */
  top(signal: AbortSignal): Promise<FetchedManifest>
  /** A manifest that another one names; its bytes have the descriptor's digest. */
  manifest(descriptor: Descriptor, signal: AbortSignal): Promise<FetchedManifest>
  /** A blob, as often as it takes. */
  blob(descriptor: Descriptor, signal: AbortSignal): BlobSource
  /** The manifests that name `subject` as theirs: signatures, attestations, lists of parts. */
  referrers(subject: Digest, signal: AbortSignal): Promise<readonly Descriptor[]>
  /** What another tag of the same place means; undefined when there is none. */
  tagged(tag: string, signal: AbortSignal): Promise<FetchedManifest | undefined>
  /** The repository that holds it all; within one registry its blobs are mounted. */
  readonly origin: Pick<Reference, 'registry' | 'repository'> | undefined
}

export interface CopyOptions {
  readonly signal: AbortSignal
  /** Only the image for this platform, without the index around it. Default: everything. */
  readonly platform?: Platform
  /**
   * Also what refers to the image, to images of its index, and to referrers; and what cosign keeps
   * under tags made of digests (`sha256-<hex>.sig`). Default: none of it.
   */
  readonly withReferrers?: boolean
  /** For each of these, when the target has it. */
  readonly onReferrer?: (referrer: Pick<Descriptor, 'mediaType' | 'digest'>) => void
  /** For each blob, while it moves. */
  readonly onProgress?: (blob: Descriptor, movedBytes: Parameters<BlobProgress>[0]) => void
  /** For each blob, when the target has it. */
  readonly onBlob?: (blob: Descriptor, result: BlobPushResult) => void
}

/**
 * Copies an image or an index with all that belongs to it, byte for byte: digests stay. Children go
 * before parents and the name last; what the target has is not sent again, a manifest that is there
 * with all it names. Layers that may not be distributed stay where they are. Throws RegistryError,
 * `no-platform-match` among them, or what the source threw.
 */
export async function copyImage(
  source: CopySource,
  target: { readonly host: HostClient; readonly reference: Reference },
  options: CopyOptions,
): Promise<ManifestBytes> {
  const copy = new ImageCopy(source, target, options)
  return copy.run()
}

/** The platform that an image's config says it is for. Throws RegistryError `too-large`, or what the source threw. */
export async function configPlatform(
  source: Pick<CopySource, 'blob'>,
  config: Descriptor,
  signal: AbortSignal,
): Promise<Platform> {
  if (config.sizeBytes > CONFIG_BYTES_MAX) {
    throw new RegistryError('too-large', `the image config is ${config.sizeBytes} bytes long`)
  }
  const chunks: Uint8Array[] = []
  for await (const chunk of source.blob(config, signal).open(0)) chunks.push(chunk)
  const image = parseImageConfig(Buffer.concat(chunks))
  const { os, architecture, variant, 'os.version': osVersion } = image
  return {
    os,
    architecture,
    ...(variant === undefined || variant === '' ? {} : { variant }),
    ...(osVersion === undefined || osVersion === '' ? {} : { osVersion }),
  }
}

/** Signatures of signatures of ... end somewhere. */
const REFERRER_DEPTH_MAX = 8
/** cosign's signatures, attestations and bills of material, where registries know no referrers. */
const COSIGN_TAGS = ['sig', 'att', 'sbom'] as const

class ImageCopy {
  readonly #source: CopySource
  readonly #host: HostClient
  readonly #target: Reference
  readonly #options: CopyOptions
  readonly #stop = new AbortController()
  /** By digest: images of one index share layers, which one transfer serves. */
  readonly #blobs = new Map<string, Promise<void>>()
  readonly #referrers = new Set<string>()

  constructor(
    source: CopySource,
    target: { readonly host: HostClient; readonly reference: Reference },
    options: CopyOptions,
  ) {
    this.#source = source
    this.#host = target.host
    this.#target = target.reference
    const signal = AbortSignal.any([options.signal, this.#stop.signal])
    this.#options = { ...options, signal }
  }

  async run(): Promise<ManifestBytes> {
    const { signal, platform } = this.#options
    const top = await this.#source.top(signal)
    const root = platform === undefined ? top : await this.#choose(top, platform)
    const { repository, digest, tag } = this.#target
    if (digest !== undefined && digest !== root.digest) {
      const reason = `the copy has the digest ${root.digest}, the target asks for ${digest}`
      throw new RegistryError('digest-mismatch', reason)
    }
    if (!(await this.#isThere(root))) await this.#content(root, 0)
    // Before the name: who looks for signatures when a name changes finds them.
    if (this.#options.withReferrers === true) await this.#companions(subjectsIn(root), 0)
    const { mediaType, bytes } = root
    const manifest = { mediaType, digest: root.digest, bytes }
    const tagOrDigest = digest === undefined ? (tag ?? 'latest') : (tag ?? digest)
    await pushManifest(this.#host, { repository, tagOrDigest }, manifest, signal)
    return manifest
  }

  async #choose(top: FetchedManifest, platform: Platform): Promise<FetchedManifest> {
    let current = top
    for (let depth = 0; current.parsed.kind === 'index'; depth += 1) {
      if (depth === INDEX_DEPTH_MAX) throw indexTooDeep()
      const chosen = choose(current.parsed.index, platform)
      current = await this.#source.manifest(chosen, this.#options.signal)
    }
    if (current === top) await this.#checkPlatform(current.parsed.manifest, platform)
    return current
  }

  /** Of an image without an index, only the config knows. */
  async #checkPlatform({ config }: ImageManifest, platform: Platform): Promise<void> {
    const own = await configPlatform(this.#source, config, this.#options.signal)
    if (bestPlatform(platform, [{ platform: own }]) !== undefined) return
    throw new RegistryError(
      'no-platform-match',
      `no match for platform ${formatPlatform(platform)}: the image is for ${formatPlatform(own)}`,
    )
  }

  /** Everything that a manifest names; not the manifest itself. */
  async #content(manifest: FetchedManifest, depth: number): Promise<void> {
    if (depth > INDEX_DEPTH_MAX) throw indexTooDeep()
    if (manifest.parsed.kind === 'manifest') {
      const { config, layers } = manifest.parsed.manifest
      const blobs = [config, ...layers.filter(isDistributable)]
      return this.#all(blobs)
    }
    for (const child of manifest.parsed.index.manifests) await this.#child(child, depth)
  }

  async #child(descriptor: Descriptor, depth: number): Promise<void> {
    const { signal } = this.#options
    if (!isIndexType(descriptor.mediaType) && !isManifestType(descriptor.mediaType)) {
      // Some tools list plain blobs in an index; they are content like any other.
      await this.#blob(descriptor)
      return
    }
    if (await this.#isThere(descriptor)) return
    const child = await this.#source.manifest(descriptor, signal)
    await this.#content(child, depth + 1)
    const place = { repository: this.#target.repository, tagOrDigest: child.digest }
    await pushManifest(this.#host, place, child, signal)
  }

  async #companions(subjects: readonly Digest[], depth: number): Promise<void> {
    if (depth === REFERRER_DEPTH_MAX) {
      const reason = `referrers refer to each other more than ${REFERRER_DEPTH_MAX} levels deep`
      throw new RegistryError('bad-manifest', reason)
    }
    const { signal } = this.#options
    for (const subject of subjects) {
      const found = await this.#source.referrers(subject, signal)
      const others = found.filter(({ digest }) => !this.#referrers.has(digest))
      for (const referrer of others) {
        this.#referrers.add(referrer.digest)
        await this.#child(referrer, 0)
        this.#options.onReferrer?.(referrer)
      }
      await this.#companions(
        others.map(({ digest }) => digest),
        depth + 1,
      )
      for (const kind of COSIGN_TAGS) await this.#tagged(`sha256-${digestHex(subject)}.${kind}`)
    }
  }

  async #tagged(tag: string): Promise<void> {
    const { signal, onReferrer } = this.#options
    const manifest = await this.#source.tagged(tag, signal)
    if (manifest === undefined) return
    await this.#content(manifest, 0)
    const place = { repository: this.#target.repository, tagOrDigest: tag }
    await pushManifest(this.#host, place, manifest, signal)
    onReferrer?.(manifest)
  }

  /** Registries take a manifest only when they have all that it names. */
  async #isThere({ digest }: Pick<Descriptor, 'digest'>): Promise<boolean> {
    const place = { repository: this.#target.repository, tagOrDigest: digest }
    const found = await headManifest(this.#host, place, this.#options.signal)
    return found !== undefined && found !== 'unknown'
  }

  /** The first failure ends the others, and is thrown when they have ended. */
  async #all(blobs: readonly Descriptor[]): Promise<void> {
    let failure: { readonly error: unknown } | undefined
    const work = blobs.map((blob) =>
      this.#blob(blob).catch((error: unknown) => {
        failure ??= { error }
        this.#stop.abort()
      }),
    )
    await Promise.all(work)
    if (failure !== undefined) throw failure.error
  }

  #blob(descriptor: Descriptor): Promise<void> {
    const known = this.#blobs.get(descriptor.digest)
    if (known !== undefined) return known
    const push = this.#push(descriptor)
    this.#blobs.set(descriptor.digest, push)
    return push
  }

  async #push(descriptor: Descriptor): Promise<void> {
    const { signal, onProgress, onBlob } = this.#options
    const { origin } = this.#source
    const isNear = origin?.registry === this.#target.registry
    const result = await pushBlob(
      this.#host,
      this.#target.repository,
      this.#source.blob(descriptor, signal),
      {
        signal,
        ...(isNear ? { mountFrom: [origin.repository] } : {}),
        onProgress: (movedBytes) => onProgress?.(descriptor, movedBytes),
      },
    )
    onBlob?.(descriptor, result)
  }
}

/** A manifest and the images of an index. */
function subjectsIn({ digest, parsed }: FetchedManifest): Digest[] {
  if (parsed.kind === 'manifest') return [digest]
  const images = parsed.index.manifests.filter(
    ({ mediaType }) => isIndexType(mediaType) || isManifestType(mediaType),
  )
  return [digest, ...images.map((image) => image.digest)]
}

/** Windows base layers and the like, which registries do not hold (features row R38). */
function isDistributable({ mediaType }: Descriptor): boolean {
  return !/\.(?:nondistributable|foreign)\./.test(mediaType)
}
