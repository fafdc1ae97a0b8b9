import { type BlobSource, configPlatform, type CopySource } from '../../registry-client/index.ts'
import {
  type Descriptor,
  type Digest,
  DOCKER_INDEX,
  DOCKER_MANIFEST,
  formatPlatform,
  OCI_INDEX,
  parseManifest,
  serializeIndex,
} from '../../registry-client/oci/index.ts'
import { CommandError } from './errors.ts'

type FetchedManifest = Awaited<ReturnType<CopySource['top']>>

/** A source with the name that the user gave it. */
export interface NamedSource {
  readonly name: string
  readonly source: CopySource
}

/**
 * Several images as one index: an image with the platform that its config says, of an index every entry as it is. What a
 * manifest names is read from where that manifest is. Errors of `top`: `platform-repeated`, and those of the sources.
 */
export class CombinedSource implements CopySource {
  readonly #sources: readonly NamedSource[]
  /** By digest: who has it. */
  readonly #holders = new Map<Digest, CopySource>()

  constructor(sources: readonly NamedSource[]) {
    this.#sources = sources
  }

  /** Where all of them lie, if that is one repository. */
  get origin(): CopySource['origin'] {
    const [first, ...others] = this.#sources.map(({ source }) => source.origin)
    const isCommon = others.every(
      (one) => one?.registry === first?.registry && one?.repository === first?.repository,
    )
    return isCommon ? first : undefined
  }

  async top(signal: AbortSignal): Promise<FetchedManifest> {
    const manifests = new Map<Digest, Descriptor>()
    const owners = new Map<string, string>()
    for (const { name, source } of this.#sources) {
      for (const entry of await this.#entries(source, signal)) {
        if (manifests.has(entry.digest)) continue
        claim(owners, entry, name)
        manifests.set(entry.digest, entry)
        this.#holders.set(entry.digest, source)
      }
    }
    const all = [...manifests.values()]
    const isDocker = all.every(({ mediaType }) => mediaType === DOCKER_MANIFEST)
    const index = serializeIndex({ mediaType: isDocker ? DOCKER_INDEX : OCI_INDEX, manifests: all })
    return { ...index, parsed: parseManifest(index.bytes, index.mediaType) }
  }

  async manifest(descriptor: Descriptor, signal: AbortSignal): Promise<FetchedManifest> {
    const source = this.#holder(descriptor.digest)
    const found = await source.manifest(descriptor, signal)
    const named =
      found.parsed.kind === 'index'
        ? found.parsed.index.manifests
        : [found.parsed.manifest.config, ...found.parsed.manifest.layers]
    for (const { digest } of named) this.#holders.set(digest, source)
    return found
  }

  blob(descriptor: Descriptor, signal: AbortSignal): BlobSource {
    return this.#holder(descriptor.digest).blob(descriptor, signal)
  }

  async referrers(subject: Digest, signal: AbortSignal): Promise<readonly Descriptor[]> {
    const source = this.#holders.get(subject)
    // Nothing refers to the new index yet.
    if (source === undefined) return []
    const found = await source.referrers(subject, signal)
    for (const { digest } of found) this.#holders.set(digest, source)
    return found
  }

  async tagged(tag: string, signal: AbortSignal): Promise<FetchedManifest | undefined> {
    for (const { source } of this.#sources) {
      const found = await source.tagged(tag, signal)
      if (found === undefined) continue
      this.#holders.set(found.digest, source)
      return found
    }
    return undefined
  }

  #holder(digest: Digest): CopySource {
    const source = this.#holders.get(digest)
    if (source === undefined) throw new RangeError(`nobody was found to have ${digest}`)
    return source
  }

  async #entries(source: CopySource, signal: AbortSignal): Promise<readonly Descriptor[]> {
    const { parsed, mediaType, digest, bytes } = await source.top(signal)
    if (parsed.kind === 'index') return parsed.index.manifests
    const platform = await configPlatform(source, parsed.manifest.config, signal)
    return [{ mediaType, digest, sizeBytes: bytes.byteLength, platform }]
  }
}

/** One image for each platform: a puller takes the first that fits, and would never see the other. */
function claim(owners: Map<string, string>, { platform }: Descriptor, name: string): void {
  // Attestations say that they are for no platform.
  if (platform === undefined || platform.os === 'unknown') return
  const text = formatPlatform(platform)
  const owner = owners.get(text)
  if (owner !== undefined) {
    throw new CommandError(
      'platform-repeated',
      `could not combine ${owner} and ${name}: both have an image for ${text}`,
    )
  }
  owners.set(text, name)
}
