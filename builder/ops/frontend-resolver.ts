import type {
  EpochSource,
  ImageResolver as FrontendResolver,
  ResolvedContext,
  ResolvedImage as FrontendImage,
} from '../../frontend/index.ts'
import type { BuildRequest } from '../request.ts'
import { BuildError } from '../errors.ts'
import type { ImageResolver, ResolvedImage } from './image.ts'

/** Tells the frontend about images and named contexts (features row D61), in its own words. */
export function frontendResolver(
  images: Pick<ImageResolver, 'resolve' | 'resolveLayout'>,
  namedContexts: BuildRequest['namedContexts'],
  epochOf: (source: EpochSource) => Promise<number | undefined>,
): FrontendResolver {
  return {
    resolveEpoch: epochOf,
    resolveImage: async (reference, platform, signal) =>
      toFrontend(await images.resolve(reference, platform, signal)),
    resolveContext: async (name, platform, signal): Promise<ResolvedContext> => {
      const location = namedContexts.get(name)
      switch (location?.kind) {
        case 'image':
          // As in FROM, this names no image (features row C12).
          if (location.reference === 'scratch') return { kind: 'scratch' }
          return {
            kind: 'image',
            image: toFrontend(await images.resolve(location.reference, platform, signal)),
          }
        case 'oci-layout':
          return {
            kind: 'image',
            image: toFrontend(await images.resolveLayout(location, platform, signal)),
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
