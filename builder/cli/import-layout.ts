import { createHash } from 'node:crypto'
import {
  CONFIG_BYTES_MAX,
  type Descriptor,
  type Digest,
  DOCKER_CONFIG,
  DOCKER_LAYER_GZIP,
  DOCKER_LAYER_TAR,
  DOCKER_MANIFEST,
  digestHex,
  digestOf,
  digestOfHash,
  familiarReference,
  type ImageConfig,
  type ImageManifest,
  isIndexType,
  MANIFEST_BYTES_MAX,
  OCI_INDEX,
  parseImageConfig,
  parseManifest,
  parseReference,
  serializeManifest,
} from '../../registry-client/oci/index.ts'
import { compressionOf } from '../image/manifest.ts'
import { readDockerManifest, normalisedName } from './docker-manifest.ts'
import { CommandError } from './errors.ts'
import { shortId } from './image-view.ts'
import { LayoutSource } from './layout-source.ts'
import type { CommandServices } from './services.ts'

/**
 * Puts the images of an unpacked archive (or layout directory) into the store and returns what each is called now. Files are
 * opened below the directory, so links in a hostile archive lead nowhere; every digest is verified. Errors: `archive-unreadable`.
 */
export async function importLayout(
  directory: string,
  services: CommandServices,
  signal: AbortSignal,
): Promise<string[]> {
  const source = new LayoutSource(directory, services.kernel)
  const importer = new LayoutImporter(source, services, signal)
  const dockerManifest = await source.readIfThere('manifest.json', MANIFEST_BYTES_MAX)
  if ((await source.readIfThere('index.json', MANIFEST_BYTES_MAX)) !== undefined) {
    return await importer.importIndex()
  }
  if (dockerManifest !== undefined) {
    return await importer.importDockerManifest(dockerManifest)
  }
  throw new CommandError(
    'archive-unreadable',
    'could not load images: there is neither index.json nor manifest.json',
    {
      hint: 'only archives of docker save, podman save, skopeo and tsbuild, and OCI layouts, hold images',
    },
  )
}

class LayoutImporter {
  readonly #source: LayoutSource
  readonly #services: CommandServices
  readonly #signal: AbortSignal

  constructor(source: LayoutSource, services: CommandServices, signal: AbortSignal) {
    this.#source = source
    this.#services = services
    this.#signal = signal
  }

  /** Every entry of `index.json`; entries of one digest are names of one image. */
  async importIndex(): Promise<string[]> {
    const index = parseManifest(
      await this.#source.read('index.json', MANIFEST_BYTES_MAX),
      OCI_INDEX,
    )
    if (index.kind !== 'index') {
      throw new CommandError('archive-unreadable', 'could not load images: index.json is no index')
    }
    const loaded: string[] = []
    for (const descriptor of index.index.manifests) {
      await this.#importTree(descriptor)
      loaded.push(await this.#name(descriptor, nameOf(descriptor)))
    }
    return loaded
  }

  /** The older form of `docker save`: layers as tars in directories of their own, no manifest. */
  async importDockerManifest(bytes: Buffer): Promise<string[]> {
    const loaded: string[] = []
    for (const { configPath, names, layerPaths } of readDockerManifest(bytes)) {
      const configBytes = await this.#source.read(configPath, CONFIG_BYTES_MAX)
      const config = parseImageConfig(configBytes)
      const layers: Descriptor[] = []
      for (const path of layerPaths) {
        layers.push(await this.#importLayerFile(path))
      }
      const digest = await this.#services.store.blobs.ingestBytes(configBytes, this.#signal)
      const manifest = serializeManifest({
        mediaType: DOCKER_MANIFEST,
        config: { mediaType: DOCKER_CONFIG, digest, sizeBytes: configBytes.length },
        layers,
      })
      await this.#services.store.blobs.ingestBytes(manifest.bytes, this.#signal)
      await this.#recordLayers(config, layers)
      const target = {
        mediaType: manifest.mediaType,
        digest: manifest.digest,
        sizeBytes: manifest.bytes.length,
      }
      for (const name of names.length === 0 ? [undefined] : names) {
        loaded.push(await this.#name(target, name))
      }
    }
    return loaded
  }

  async #importTree(descriptor: Descriptor): Promise<void> {
    const bytes = await this.#source.read(blobName(descriptor.digest), MANIFEST_BYTES_MAX)
    if (digestOf(bytes) !== descriptor.digest) {
      throw new CommandError(
        'archive-unreadable',
        `could not load images: blob ${descriptor.digest} has other bytes (${digestOf(bytes)})`,
      )
    }
    const parsed = parseManifest(bytes, descriptor.mediaType)
    if (parsed.kind === 'index') {
      for (const child of parsed.index.manifests) {
        await this.#importTree(child)
      }
    } else {
      await this.#importImage(parsed.manifest)
    }
    await this.#services.store.blobs.ingestBytes(bytes, this.#signal)
  }

  async #importImage({ config, layers }: ImageManifest): Promise<void> {
    for (const blob of [config, ...layers]) {
      const { digest, sizeBytes } = blob
      if (!(await this.#services.store.blobs.has({ digest, sizeBytes }, this.#signal))) {
        await this.#services.store.blobs.ingest(
          this.#source.open(blobName(digest)),
          { digest, sizeBytes },
          this.#signal,
        )
      }
    }
    const bytes = await this.#services.store.blobs.read(
      config.digest,
      CONFIG_BYTES_MAX,
      this.#signal,
    )
    await this.#recordLayers(parseImageConfig(bytes), layers)
  }

  async #importLayerFile(path: string): Promise<Descriptor> {
    const hash = createHash('sha256')
    let sizeBytes = 0
    let isGzip = false
    for await (const chunk of this.#source.open(path)) {
      isGzip ||= sizeBytes === 0 && chunk[0] === 0x1f && chunk[1] === 0x8b
      hash.update(chunk)
      sizeBytes += chunk.length
    }
    const digest = digestOfHash(hash)
    await this.#services.store.blobs.ingest(
      this.#source.open(path),
      { digest, sizeBytes },
      this.#signal,
    )
    return { mediaType: isGzip ? DOCKER_LAYER_GZIP : DOCKER_LAYER_TAR, digest, sizeBytes }
  }

  /** So that a later build or `run` finds the blobs by diffId. */
  async #recordLayers(config: ImageConfig, layers: readonly Descriptor[]): Promise<void> {
    for (const [index, { digest, sizeBytes, mediaType }] of layers.entries()) {
      const diffId = config.rootfs.diff_ids[index]
      const compression = compressionOf(mediaType)
      if (diffId !== undefined && compression !== undefined) {
        const blob = { digest, sizeBytes, compression, engine: undefined }
        await this.#services.store.layers.record(diffId, { blob }, this.#signal)
      }
    }
  }

  async #name(target: Descriptor, name: string | undefined): Promise<string> {
    const { mediaType, digest, sizeBytes } = target
    const storedAt = new Date().toISOString()
    const image = { name, target: { mediaType, digest, sizeBytes }, storedAt, origins: [] }
    await this.#services.images.put(image, this.#signal)
    return name === undefined ? shownId(target) : familiarReference(parseReference(name))
  }
}

function shownId({ digest, mediaType }: Descriptor): string {
  return isIndexType(mediaType) ? digest : `sha256:${shortId(digest)}`
}

/** The full name in the annotations; `ref.name` alone is a tag, unless it is a whole reference (as skopeo writes it). */
function nameOf({ annotations }: Descriptor): string | undefined {
  const full = annotations?.['io.containerd.image.name']
  const reference = annotations?.['org.opencontainers.image.ref.name']
  const text = full ?? (reference !== undefined && /[/:]/.test(reference) ? reference : undefined)
  return text === undefined ? undefined : normalisedName(text)
}

function blobName(digest: Digest): string {
  return `blobs/sha256/${digestHex(digest)}`
}
