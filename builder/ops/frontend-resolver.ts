import {
  type EpochSource,
  formatFullPlatform,
  type ImageResolver as FrontendResolver,
  type ResolvedContext,
  type ResolvedImage as FrontendImage,
} from '../../frontend/index.ts'
import type { BuildRequest } from '../request.ts'
import { BuildError } from '../errors.ts'
import type { ImageResolver, ResolvedImage } from './image.ts'

export interface FrontendResolverParts {
  readonly images: Pick<ImageResolver, 'resolve' | 'resolveLayout'>
  readonly namedContexts: BuildRequest['namedContexts']
  readonly epochOf: (source: EpochSource) => Promise<number | undefined>
  /** Titles of steps say for which platform they are. */
  readonly isMultiPlatform: boolean
}

/** Tells the frontend about images and named contexts (features row D61), in its own words. */
export function frontendResolver({
  images,
  namedContexts,
  epochOf,
  isMultiPlatform,
}: FrontendResolverParts): FrontendResolver {
  return {
    resolveEpoch: epochOf,
    resolveImage: async (reference, platform, signal) => {
      const label = isMultiPlatform ? `${formatFullPlatform(platform)} internal` : 'internal'
      return toFrontend(await images.resolve(reference, platform, signal, label))
    },
    resolveContext: async (name, platform, signal): Promise<ResolvedContext> => {
      const location = namedContexts.get(name)
      const label = `context ${name}`
      switch (location?.kind) {
        case 'image': {
          const { reference } = location
          // As in FROM, this names no image (features row C12).
          if (reference === 'scratch') return { kind: 'scratch' }
          const image = await images.resolve(reference, platform, signal, label)
          return { kind: 'image', image: toFrontend(image) }
        }
        case 'oci-layout': {
          const image = await images.resolveLayout(location, platform, signal, label)
          return { kind: 'image', image: toFrontend(image) }
        }
        case 'none':
          return { kind: 'scratch' }
        case 'directory':
        case 'archive':
        case 'git':
        case 'http':
          return { kind: 'tree' }
        case undefined:
          throw new BuildError(
            'context-missing',
            `could not use context ${name}: there is none of this name`,
          )
        default:
          return location satisfies never
      }
    },
  }
}

function toFrontend(image: ResolvedImage): FrontendImage {
  const { rootfs: _rootfs, history: _history, ...config } = image.config
  return { reference: withDigest(image), resolved: image.handle, config }
}

/** As progress shows it: `docker.io/library/alpine:3@sha256:...`. */
function withDigest({ reference, handle }: ResolvedImage): string {
  return reference.includes('@') ? reference : `${reference}@${handle}`
}
