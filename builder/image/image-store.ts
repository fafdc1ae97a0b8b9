import {
  CONFIG_BYTES_MAX,
  type Descriptor,
  type Digest,
  digestHex,
  digestOf,
  type ImageConfig,
  type ImageManifest,
  MANIFEST_BYTES_MAX,
  parseDigest,
  parseImageConfig,
  parseManifest,
  type Platform,
} from '../../registry-client/oci/index.ts'
import type { BlobReader, NamedLocks, Store } from '../../snapshotter/index.ts'
import { BuildError } from '../errors.ts'
import type { LayerOrigin } from '../solver/layer.ts'

/** An image in the local store: a manifest or index whose bytes are in the blob store, and what it is called. */
export interface StoredImage {
  /** `registry/repository:tag`; undefined: it has no name (built without `-t`, or its name was taken by another). */
  readonly name: string | undefined
  readonly target: {
    readonly mediaType: string
    readonly digest: Digest
    readonly sizeBytes: number
  }
  /** When it was put here, RFC 3339. */
  readonly storedAt: string
  /** A build pulled it because of a FROM or --from; nobody asked for it by its name. */
  readonly isBase?: boolean
  /** Registries it was pulled from: blobs that are not here yet are fetched there. */
  readonly origins: readonly LayerOrigin[]
}

/** A snapshotter `RecordStore` over `images/`. */
export interface ImageTable {
  get(name: string): Promise<StoredImage | undefined>
  put(name: string, record: StoredImage): Promise<void>
  remove(name: string): Promise<void>
  names(): Promise<string[]>
  touch(name: string): Promise<void>
  lastUsedMs(name: string): Promise<number | undefined>
}

export type SmallBlobs = Pick<BlobReader, 'find'>

/** One platform of a stored image. */
export interface StoredPlatform {
  readonly platform: Platform | undefined
  readonly manifestDigest: Digest
  readonly manifest: ImageManifest
  readonly config: ImageConfig
}

const ID_PREFIX = /^(?:sha256:)?([a-f0-9]{4,64})$/

/**
 * Names of images: one small record per name below `images/`, replaced atomically. Manifests, configs and layers are
 * blobs; what no name leads to is garbage. `docker images`, `tag`, `rmi` semantics (features rows C112-C114).
 */
export class ImageStore {
  readonly #table: ImageTable
  readonly #blobs: SmallBlobs
  readonly #locks: Pick<NamedLocks, 'acquire'>

  constructor(table: ImageTable, blobs: SmallBlobs, locks: Pick<NamedLocks, 'acquire'>) {
    this.#table = table
    this.#blobs = blobs
    this.#locks = locks
  }

  /** The images of a state root. */
  static of(
    store: Pick<Store, 'root' | 'records' | 'blobs' | 'locks'>,
    blobs: SmallBlobs = store.blobs,
  ): ImageStore {
    const table = store.records(store.root.imagesDir, readStoredImage)
    return new ImageStore(table, blobs, store.locks)
  }

  /** Every image, named ones by name, then the others by time. */
  async list(): Promise<StoredImage[]> {
    const images = await Promise.all((await this.#table.names()).map((key) => this.#table.get(key)))
    return images
      .filter((image) => image !== undefined)
      .sort(
        (a, b) =>
          compare(a.name ?? '\u{10ffff}', b.name ?? '\u{10ffff}') ||
          compare(a.storedAt, b.storedAt),
      )
  }

  /** The image with exactly this normalised name. */
  async get(name: string): Promise<StoredImage | undefined> {
    return await this.#table.get(keyOf(name))
  }

  /**
   * Points the name at the image. One that had it before and has no other name stays, without one; so of several processes
   * that give one name at once, each takes it from the one before.
   */
  async put(image: StoredImage, signal: AbortSignal): Promise<void> {
    await using _lock = await this.#locks.acquire('image-names', signal)
    if (image.name === undefined) {
      await this.#keepUnnamed(image)
      return
    }
    const previous = await this.get(image.name)
    await this.#table.put(keyOf(image.name), image)
    await this.#table.remove(digestHex(image.target.digest))
    if (previous !== undefined && previous.target.digest !== image.target.digest) {
      await this.#keepUnnamed(previous)
    }
  }

  /** Removes the record of one name, or of an image without a name; its blobs go with the next collection. */
  async remove(image: StoredImage): Promise<void> {
    await this.#table.remove(recordNameOf(image))
  }

  /** Notes that a build stands on it now (features row K24). */
  async touch(image: StoredImage): Promise<void> {
    await this.#table.touch(recordNameOf(image))
  }

  /** When a build last stood on it, or when it was put here. */
  async lastUsedMs(image: StoredImage): Promise<number> {
    return (await this.#table.lastUsedMs(recordNameOf(image))) ?? Date.parse(image.storedAt)
  }

  /**
   * The image that a person means: a normalised name, the digest of a manifest or index, or (a prefix of) an image id.
   * `typed`: what stood on the command line. Errors: `name-missing`, `name-ambiguous`.
   */
  async resolve(text: string, signal: AbortSignal, typed: string = text): Promise<StoredImage> {
    const named = await this.get(text)
    if (named !== undefined) {
      return named
    }
    const prefix = ID_PREFIX.exec(text)?.[1]
    const found = prefix === undefined ? [] : await this.#byPrefix(prefix, signal)
    const targets = new Set(found.map((image) => image.target.digest))
    const [first] = found
    if (first === undefined) {
      throw new BuildError(
        'name-missing',
        `could not find image ${typed}${typed === text ? '' : ` (${text})`}: the store holds no such name or id`,
      )
    }
    if (targets.size > 1) {
      const names = [...targets].join(', ')
      throw new BuildError(
        'name-ambiguous',
        `could not choose an image for ${text}: it is the beginning of ${names}`,
      )
    }
    return first
  }

  /** The images of an index, or the one image. A platform whose manifest or config was never fetched is left out. */
  async platforms(image: StoredImage, signal: AbortSignal): Promise<StoredPlatform[]> {
    const bytes = await this.#blobs.find(image.target.digest, MANIFEST_BYTES_MAX, signal)
    if (bytes === undefined) {
      return []
    }
    const parsed = parseManifest(bytes, image.target.mediaType)
    if (parsed.kind === 'manifest') {
      const one = await this.#platform(image.target.digest, parsed.manifest, undefined, signal)
      return one === undefined ? [] : [one]
    }
    const all = await Promise.all(parsed.index.manifests.map((child) => this.#child(child, signal)))
    return all.filter((platform) => platform !== undefined)
  }

  async #child(child: Descriptor, signal: AbortSignal): Promise<StoredPlatform | undefined> {
    const bytes = await this.#blobs.find(child.digest, MANIFEST_BYTES_MAX, signal)
    const parsed = bytes === undefined ? undefined : parseManifest(bytes, child.mediaType)
    return parsed?.kind === 'manifest'
      ? await this.#platform(child.digest, parsed.manifest, child.platform, signal)
      : undefined
  }

  async #platform(
    manifestDigest: Digest,
    manifest: ImageManifest,
    platform: Platform | undefined,
    signal: AbortSignal,
  ): Promise<StoredPlatform | undefined> {
    const bytes = await this.#blobs.find(manifest.config.digest, CONFIG_BYTES_MAX, signal)
    return bytes === undefined
      ? undefined
      : { platform, manifestDigest, manifest, config: parseImageConfig(bytes) }
  }

  async #byPrefix(prefix: string, signal: AbortSignal): Promise<StoredImage[]> {
    const matches: StoredImage[] = []
    for (const image of await this.list()) {
      const platforms = await this.platforms(image, signal)
      const ids = [
        image.target.digest,
        ...platforms.flatMap((one) => [one.manifestDigest, one.manifest.config.digest]),
      ]
      if (ids.some((id) => digestHex(id).startsWith(prefix))) {
        matches.push(image)
      }
    }
    return matches
  }

  async #keepUnnamed(image: StoredImage): Promise<void> {
    const others = await this.list()
    if (!others.some((other) => other.target.digest === image.target.digest)) {
      await this.#table.put(digestHex(image.target.digest), { ...image, name: undefined })
    }
  }
}

/** For `RecordStore`: undefined when the value is not a stored image. */
export function readStoredImage(value: unknown): StoredImage | undefined {
  if (!isObject(value) || !isObject(value['target'])) {
    return undefined
  }
  const { name, storedAt, origins } = value
  const { mediaType, digest, sizeBytes } = value['target']
  const parsed = typeof digest === 'string' ? parseDigest(digest) : undefined
  if (
    (name !== undefined && typeof name !== 'string') ||
    typeof storedAt !== 'string' ||
    typeof mediaType !== 'string' ||
    typeof sizeBytes !== 'number' ||
    parsed === undefined
  ) {
    return undefined
  }
  const target = { mediaType, digest: parsed, sizeBytes }
  return {
    name,
    target,
    storedAt,
    ...(value['isBase'] === true ? { isBase: true } : {}),
    origins: Array.isArray(origins) ? origins.flatMap(readOrigin) : [],
  }
}

function readOrigin(value: unknown): LayerOrigin[] {
  if (!isObject(value)) {
    return []
  }
  const { registry, repository } = value
  return typeof registry === 'string' && typeof repository === 'string'
    ? [{ registry, repository }]
    : []
}

function recordNameOf({ name, target }: StoredImage): string {
  return name === undefined ? digestHex(target.digest) : keyOf(name)
}

/** Names are free text with slashes and colons; as file names they are hashed. Unnamed images go by their digest. */
function keyOf(name: string): string {
  return `n-${digestHex(digestOf(name))}`
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
