import {
  type Descriptor,
  digestHex,
  digestOf,
  familiarReference,
  type ManifestBytes,
  OCI_INDEX,
  parseReference,
} from '../../registry-client/oci/index.ts'
import { encodeConfig } from '../image/config.ts'
import type { BuildResult, BuiltImage, ImageLayer } from '../image/built-image.ts'
import type { AnnotationRequest } from '../request.ts'
import { ExportError } from './errors.ts'
import type { ExportServices } from './exporter.ts'

/** A file of an archive or layout: bytes at hand, or a file of the blob store. */
export interface LayoutFile {
  readonly name: string
  readonly content: Uint8Array | { readonly path: string; readonly sizeBytes: number }
}

/** A descriptor of `index.json`, as JSON. */
export interface LayoutEntry {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly annotations?: Readonly<Record<string, string>>
  readonly [key: string]: unknown
}

const LAYOUT_VERSION = '{"imageLayoutVersion":"1.0.0"}'

export interface LayoutParts {
  readonly result: BuildResult
  /** Normalised; may be empty. */
  readonly names: readonly string[]
  readonly annotations: readonly AnnotationRequest[]
}

/** Starts to download a base layer that the output will need, while the build still runs. */
export function prefetchBlob(
  layer: ImageLayer,
  services: Pick<ExportServices, 'ensureBlob'>,
  signal: AbortSignal,
): void {
  // A failure shows when the blob is asked for again, by `export`.
  services.ensureBlob(layer, signal).catch(() => undefined)
}

/** Every blob of the result once, sorted by digest: layers, configs, manifests, the index. */
export async function blobFiles(
  result: BuildResult,
  services: Pick<ExportServices, 'ensureBlob'>,
  signal: AbortSignal,
  configOf: (image: BuiltImage) => Uint8Array = configBytes,
): Promise<LayoutFile[]> {
  const files = new Map<string, LayoutFile>()
  const add = (digest: string, content: LayoutFile['content']): void => {
    files.set(digest, { name: `blobs/sha256/${digest.slice('sha256:'.length)}`, content })
  }
  for (const image of result.images) {
    // Side by side: those that must be downloaded first are limited where that happens.
    await Promise.all(
      image.layers.map(async (layer) => {
        const { digest, sizeBytes } = layer.descriptor
        add(digest, { path: await services.ensureBlob(layer, signal), sizeBytes })
      }),
    )
    add(image.configDescriptor.digest, configOf(image))
    add(image.manifest.digest, image.manifest.bytes)
  }
  if (result.index !== undefined) {
    add(result.index.digest, result.index.bytes)
  }
  return inOrder(files.values())
}

/** By name: equal files then make equal archives. */
export function inOrder(files: Iterable<LayoutFile>): LayoutFile[] {
  return [...files].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** The config of an image that was built here, as it was hashed. */
export function configBytes(image: BuiltImage): Uint8Array {
  const { bytes } = encodeConfig(image.config, true)
  if (digestOf(bytes) !== image.configDescriptor.digest) {
    throw new TypeError(
      `config of ${image.manifest.digest} does not encode to ${image.configDescriptor.digest}`,
    )
  }
  return bytes
}

/** The manifest, or the index over several. */
export function rootManifest(result: BuildResult): ManifestBytes {
  const root = result.index ?? result.images[0]?.manifest
  if (root === undefined) {
    throw new TypeError('a build result without images cannot be exported')
  }
  return root
}

/** Entries of `index.json` (features row C66): one for each name, or one without a name. */
export function layoutEntries({ result, names, annotations }: LayoutParts): LayoutEntry[] {
  const root = rootManifest(result)
  const [image] = result.images
  const shared: Record<string, string> = {}
  if (image?.config.created !== undefined) {
    shared['org.opencontainers.image.created'] = image.config.created
  }
  const level = result.index === undefined ? 'manifest-descriptor' : 'index-descriptor'
  for (const { key, value } of annotations.filter((annotation) => annotation.level === level)) {
    shared[key] = value
  }
  const platform =
    result.index === undefined && image !== undefined ? { platform: platformJson(image) } : {}
  const entry = (own: Record<string, string>): LayoutEntry => ({
    mediaType: root.mediaType,
    digest: root.digest,
    size: root.bytes.byteLength,
    ...(Object.keys({ ...own, ...shared }).length === 0
      ? {}
      : { annotations: { ...own, ...shared } }),
    ...platform,
  })
  return names.length === 0 ? [entry({})] : names.map((name) => entry(nameAnnotations(name)))
}

/** `index.json` and `oci-layout` (image-spec, image-layout.md). */
export function layoutHead(entries: readonly LayoutEntry[]): LayoutFile[] {
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: entries }
  return [
    { name: 'index.json', content: Buffer.from(JSON.stringify(index)) },
    { name: 'oci-layout', content: Buffer.from(LAYOUT_VERSION) },
  ]
}

/** `manifest.json` of `docker save` (features row O51), pointing into the layout's blobs. Errors: `export-unsupported`. */
export function dockerManifestFile(images: readonly LayoutParts[]): LayoutFile {
  return {
    name: 'manifest.json',
    content: Buffer.from(JSON.stringify(images.map(dockerManifestEntry))),
  }
}

function dockerManifestEntry({ result, names }: LayoutParts): object {
  const [image, ...others] = result.images
  if (image === undefined || others.length > 0) {
    throw new ExportError(
      'export-unsupported',
      'could not write a docker archive: it holds one platform of an image only; use type=oci for several',
    )
  }
  const blob = (descriptor: Descriptor): string => `blobs/sha256/${digestHex(descriptor.digest)}`
  return {
    Config: blob(image.configDescriptor),
    RepoTags: names.map((name) => familiarReference(parseReference(name))),
    Layers: image.layers.map((layer) => blob(layer.descriptor)),
  }
}

function nameAnnotations(name: string): Record<string, string> {
  const { tag } = parseReference(name)
  return {
    'io.containerd.image.name': name,
    ...(tag === undefined ? {} : { 'org.opencontainers.image.ref.name': tag }),
  }
}

function platformJson({ platform }: BuiltImage): Record<string, unknown> {
  return {
    architecture: platform.architecture,
    os: platform.os,
    ...(platform.osVersion === undefined ? {} : { 'os.version': platform.osVersion }),
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
  }
}
