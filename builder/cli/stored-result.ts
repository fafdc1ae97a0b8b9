import { readFile } from 'node:fs/promises'
import {
  type Digest,
  formatPlatform,
  type ManifestBytes,
  parseManifest,
} from '../../registry-client/oci/index.ts'
import type { ExportServices } from '../export/exporter.ts'
import type { BuildResult, BuiltImage } from '../image/built-image.ts'
import type { StoredImage, StoredPlatform } from '../image/image-store.ts'
import { LayerFetcher } from '../ops/fetch-layer.ts'
import { BuildLayer } from '../solver/layer.ts'
import { createLimits } from '../solver/limits.ts'
import { SingleFlight } from '../solver/single-flight.ts'
import type { StepReporter } from '../solver/steps.ts'
import { CommandError } from './errors.ts'
import type { CommandServices, Registries } from './services.ts'

/** A stored image in the form that exporters take. */
export interface StoredResult {
  readonly result: BuildResult
  /** The exact bytes of a config: those of other builders do not encode as ours do. */
  readonly configOf: (image: BuiltImage) => Uint8Array
}

/**
 * A stored image as a build's result. An index of which only one platform was ever pulled gives that one image. Errors:
 * `image-missing` when several platforms, but not all, are here.
 */
export async function storedResult(
  image: StoredImage,
  { images, store }: Pick<CommandServices, 'images' | 'store'>,
  signal: AbortSignal,
): Promise<StoredResult> {
  const platforms = await images.platforms(image, signal)
  const configs = new Map<Digest, Uint8Array>()
  const built: BuiltImage[] = []
  for (const platform of platforms) {
    const { digest, sizeBytes } = platform.manifest.config
    configs.set(digest, await store.blobs.read(digest, sizeBytes, signal))
    built.push(await builtImage(platform, image, store, signal))
  }
  return {
    result: {
      images: built,
      index: await wholeIndex(image, platforms, store, signal),
      epochSec: undefined,
    },
    configOf: ({ configDescriptor }) => {
      const bytes = configs.get(configDescriptor.digest)
      if (bytes === undefined) {
        throw new TypeError(`config ${configDescriptor.digest} was not read`)
      }
      return bytes
    },
  }
}

/** Gives blobs of a stored image: layers that were never needed are fetched from where the image came from. */
export function storedBlobs(
  { store }: Pick<CommandServices, 'store'>,
  registries: Registries,
  steps: StepReporter,
): ExportServices {
  const fetcher = new LayerFetcher({
    store,
    registry: () => registries.client(),
    limits: createLimits(1),
    steps,
  })
  const intact = new SingleFlight<boolean>()
  return {
    steps,
    ensureBlob: async ({ diffId, descriptor, origins }, signal) => {
      const { digest } = descriptor
      // A damaged one is removed, and fetched again where that can be done.
      const isIntact = await intact.run(
        digest,
        async () => !(await store.blobs.removeIfCorrupt(digest, signal)),
      )
      const title =
        origins[0] === undefined
          ? descriptor.digest
          : `${origins[0].registry}/${origins[0].repository}`
      const layer = BuildLayer.ofBase(title, diffId, { descriptor, origins, file: undefined })
      await fetcher.fetch(layer, signal).catch((error: unknown) => {
        signal.throwIfAborted()
        throw isIntact ? error : damaged(digest, error)
      })
      return store.blobs.path(descriptor.digest)
    },
  }
}

function damaged(digest: Digest, cause: unknown): CommandError {
  return new CommandError(
    'image-missing',
    `could not use layer ${digest}: it was damaged on disk and is removed`,
    { hint: 'build, load or pull the image again', cause },
  )
}

async function builtImage(
  { platform, config, manifest, manifestDigest }: StoredPlatform,
  { origins }: StoredImage,
  store: CommandServices['store'],
  signal: AbortSignal,
): Promise<BuiltImage> {
  const { architecture, os, variant } = config
  return {
    platform: platform ?? { os, architecture, ...(variant === undefined ? {} : { variant }) },
    config,
    configDescriptor: manifest.config,
    manifest: {
      mediaType: manifest.mediaType,
      digest: manifestDigest,
      bytes: await readFile(store.blobs.path(manifestDigest), { signal }),
    },
    layers: manifest.layers.map((descriptor, index) => {
      const diffId = config.rootfs.diff_ids[index]
      if (diffId === undefined) {
        throw new CommandError(
          'image-missing',
          `could not use image ${manifestDigest}: its config has no diffId for layer ${index}`,
        )
      }
      return { diffId, descriptor, origins }
    }),
  }
}

async function wholeIndex(
  { name, target }: StoredImage,
  platforms: readonly StoredPlatform[],
  store: CommandServices['store'],
  signal: AbortSignal,
): Promise<ManifestBytes | undefined> {
  const bytes = await store.blobs.read(target.digest, target.sizeBytes, signal)
  const parsed = parseManifest(bytes, target.mediaType)
  const shown = name ?? target.digest
  if (platforms.length === 0) {
    throw new CommandError(
      'image-missing',
      `could not use image ${shown}: the configs of its platforms are not in the store`,
      {
        hint: "'tsbuild pull' fetches them",
      },
    )
  }
  if (parsed.kind === 'manifest') {
    return undefined
  }
  const wanted = parsed.index.manifests.length
  if (platforms.length === wanted) {
    return { mediaType: target.mediaType, digest: target.digest, bytes }
  }
  if (platforms.length > 1) {
    const known = platforms.flatMap(({ platform }) =>
      platform === undefined ? [] : [formatPlatform(platform)],
    )
    throw new CommandError(
      'image-missing',
      `could not use image ${shown}: of its ${wanted} manifests only those of ${known.join(', ')} are in the store`,
      { hint: "'tsbuild pull --platform' fetches the others" },
    )
  }
  return undefined
}
