import {
  digestHex,
  familiarName,
  formatReference,
  parseReference,
} from '../../registry-client/oci/index.ts'
import { errnoOf, type Store } from '../../snapshotter/index.ts'
import type { ImageStore, StoredImage, StoredPlatform } from '../image/image-store.ts'
import type { CommandServices } from './services.ts'

/** A stored image as the commands show it. */
export interface ImageView {
  readonly image: StoredImage
  /** Platforms whose config is in the store. */
  readonly platforms: readonly StoredPlatform[]
  /** Config digest of the only platform; the index's digest when there are several. */
  readonly id: string
  /** `<none>` without a name. */
  readonly repository: string
  readonly tag: string
  readonly createdAt: string | undefined
  /** Unpacked size of all layers, or the compressed one where nothing was unpacked. */
  readonly sizeBytes: number
}

/** Reads what the commands show of an image. */
export async function viewImage(
  image: StoredImage,
  { images, store }: Pick<CommandServices, 'images' | 'store'>,
  signal: AbortSignal,
): Promise<ImageView> {
  const platforms = await images.platforms(image, signal)
  const [only] = platforms
  const reference = image.name === undefined ? undefined : parseReference(image.name)
  let sizeBytes = 0
  for (const platform of platforms) {
    for (const size of await layerSizes(platform, store, signal)) {
      sizeBytes += size
    }
  }
  return {
    image,
    platforms,
    id:
      platforms.length === 1 && only !== undefined
        ? only.manifest.config.digest
        : image.target.digest,
    repository: reference === undefined ? '<none>' : familiarName(reference),
    tag: reference?.tag ?? '<none>',
    createdAt: only?.config.created,
    sizeBytes,
  }
}

/** Size of every layer, bottom first: unpacked where it is known. */
export async function layerSizes(
  { config, manifest }: StoredPlatform,
  store: Pick<Store, 'layers'>,
  signal: AbortSignal,
): Promise<number[]> {
  return await Promise.all(
    manifest.layers.map(async (descriptor, index) => {
      const diffId = config.rootfs.diff_ids[index]
      const layer = diffId === undefined ? undefined : await store.layers.get(diffId, signal)
      return layer?.uncompressedSizeBytes ?? descriptor.sizeBytes
    }),
  )
}

/** The first twelve digits, as docker shows ids. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12)
}

/** What `resolve` takes: names are normalised, ids stay. A word of hexadecimal digits may be both; the name goes first. */
export async function findImage(
  text: string,
  images: ImageStore,
  signal: AbortSignal,
): Promise<StoredImage> {
  const name = normalisedName(text)
  const named = name === undefined ? undefined : await images.get(name)
  return named ?? (await images.resolve(idOf(text) ?? name ?? text, signal, text))
}

function idOf(text: string): string | undefined {
  const digest = /@(sha256:[a-f0-9]{64})$/.exec(text)?.[1]
  return digest ?? (/^(?:sha256:)?[a-f0-9]{4,64}$/.test(text) ? text : undefined)
}

/** The name that `text` stands for, as images are stored under it; undefined when it can be none. A digest is part of it. */
export function normalisedName(text: string): string | undefined {
  try {
    return formatReference(parseReference(text))
  } catch (error) {
    if (errnoOf(error) === 'bad-reference') {
      return undefined
    }
    throw error
  }
}

/** Digest as the end of a name: `repository@sha256:...`. */
export function repoDigest(view: ImageView): string | undefined {
  return view.image.name === undefined
    ? undefined
    : `${view.repository}@sha256:${digestHex(view.image.target.digest)}`
}
