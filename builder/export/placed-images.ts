import { join } from 'node:path'
import { formatPlatform, type Platform } from '../../registry-client/oci/index.ts'
import type { BuildResult, BuiltImage } from '../image/built-image.ts'
import { ExportError } from './errors.ts'
import type { FlatImage } from './flat-image.ts'

/** An image and the directory that its files go to; '' is the root. */
export interface PlacedImage {
  readonly image: BuiltImage
  readonly directory: string
}

/** The images of a result with their places (features row C68): what has an index is split, unless it is said otherwise. */
export function placedImages(
  { images, index }: BuildResult,
  platformSplit: boolean | undefined,
): PlacedImage[] {
  const isSplit = platformSplit ?? index !== undefined
  return images.map((image) => ({
    image,
    directory: isSplit ? platformDirectory(image.platform) : '',
  }))
}

function platformDirectory({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])]
    .join('_')
    .replaceAll('/', '_')
}

/** Platforms may share a directory as long as none replaces a file of another, as in BuildKit. */
export function claimsFor(images: readonly PlacedImage[]): PathClaims | undefined {
  const directories = new Set(images.map(({ directory }) => directory))
  return directories.size < images.length ? new PathClaims() : undefined
}

class PathClaims {
  /** Platforms by the paths that they were first to have. */
  readonly #owners = new Map<string, string>()

  /** Throws `export-unsupported` for a file that another platform has. */
  async add(flat: Pick<FlatImage, 'pages'>, { image, directory }: PlacedImage): Promise<void> {
    const platform = formatPlatform(image.platform)
    for await (const page of flat.pages()) {
      for (const { path, entry } of page) {
        if (entry.type !== 'dir') this.#claim(join('/', directory, path), platform)
      }
    }
  }

  #claim(place: string, platform: string): void {
    const owner = this.#owners.get(place)
    if (owner !== undefined) {
      throw new ExportError(
        'export-unsupported',
        `could not export: cannot overwrite ${place} from ${owner} with ${platform}; leave platform-split=false out`,
      )
    }
    this.#owners.set(place, platform)
  }
}
