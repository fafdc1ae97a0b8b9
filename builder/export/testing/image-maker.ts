import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pack } from 'tar-stream'
import {
  type DiffId,
  digestHex,
  digestOf,
  OCI_LAYER_TAR,
  parseDiffId,
  type Platform,
} from '../../../registry-client/oci/index.ts'
import type { BuildEvent } from '../../events.ts'
import type { BuildResult, ImageLayer } from '../../image/built-image.ts'
import { assembleConfig, encodeConfig } from '../../image/config.ts'
import { encodeIndex, encodeManifest } from '../../image/manifest.ts'
import { StepReporter } from '../../solver/steps.ts'
import type { ExportServices } from '../exporter.ts'

/** An entry of a layer's tar, as tar-stream takes it, with the bytes of a file. */
export type TarEntry = Parameters<ReturnType<typeof pack>['entry']>[0] & {
  readonly content?: string
}

/** Makes images for tests of exporters: layers from entries, in a directory that plays the blob store. */
export class ImageMaker implements AsyncDisposable {
  readonly directory: string
  readonly events: BuildEvent[] = []

  private constructor(directory: string) {
    this.directory = directory
  }

  static async open(): Promise<ImageMaker> {
    return new ImageMaker(await mkdtemp(join(tmpdir(), 'tsbuild-export-')))
  }

  /** What `build` gives to exporters; blobs are found by digest. */
  get services(): ExportServices {
    return {
      steps: new StepReporter((event) => this.events.push(event)),
      ensureBlob: async ({ descriptor }) => join(this.directory, digestHex(descriptor.digest)),
    }
  }

  /** A directory of its own for a test. */
  async workDirectory(name: string): Promise<string> {
    const path = join(this.directory, name)
    await mkdir(path)
    return path
  }

  async layer(entries: readonly TarEntry[]): Promise<ImageLayer> {
    const bytes = await tarOf(entries)
    const digest = digestOf(bytes)
    await writeFile(join(this.directory, digestHex(digest)), bytes)
    return {
      diffId: diffIdOf(digest),
      descriptor: { mediaType: OCI_LAYER_TAR, digest, sizeBytes: bytes.length },
      origins: [],
    }
  }

  /** One image for each platform, all with the same layers; an index over several. */
  async result(
    layers: readonly (readonly TarEntry[])[],
    platforms: readonly Platform[] = [{ os: 'linux', architecture: 'amd64' }],
  ): Promise<BuildResult> {
    const made = await Promise.all(layers.map((entries) => this.layer(entries)))
    const images = platforms.map((platform) => {
      const config = assembleConfig({
        stage: { ...platform, config: {} },
        baseHistory: [],
        baseCreated: undefined,
        baseLayerCount: 0,
        diffIds: made.map(({ diffId }) => diffId),
        history: made.map((_, index) => ({
          createdBy: `COPY ${index}`,
          comment: undefined,
          author: undefined,
          layer: { created: '2026-01-02T03:04:05Z' },
        })),
        epochSec: undefined,
      })
      const configDescriptor = encodeConfig(config, true).descriptor
      const descriptors = made.map(({ descriptor }) => descriptor)
      const manifest = encodeManifest({
        config: configDescriptor,
        layers: descriptors,
        useOciMediaTypes: true,
        annotations: new Map(),
      })
      return { platform, config, configDescriptor, manifest, layers: made }
    })
    const manifests = images.map(({ manifest, platform }) => ({
      manifest,
      platform,
      annotations: new Map<string, string>(),
    }))
    const index =
      images.length > 1
        ? encodeIndex({ manifests, useOciMediaTypes: true, annotations: new Map() })
        : undefined
    return { images, index, epochSec: undefined }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true })
  }
}

/** Entries for a host path and what is above it, as directories of a layer. */
export function directoriesTo(path: string): TarEntry[] {
  const names = path.split('/').filter((name) => name !== '')
  return names.map((_, index) => ({
    name: `${names.slice(0, index + 1).join('/')}/`,
    type: 'directory',
  }))
}

async function tarOf(entries: readonly TarEntry[]): Promise<Buffer> {
  const archive = pack()
  for (const { content, ...header } of entries) {
    archive.entry({ mtime: new Date(1_700_000_000_000), ...header }, content ?? '')
  }
  archive.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of archive) {
    chunks.push(Buffer.from(chunk as Uint8Array))
  }
  return Buffer.concat(chunks)
}

function diffIdOf(text: string): DiffId {
  const diffId = parseDiffId(text)
  if (diffId === undefined) {
    throw new TypeError(`${text} is no diffId`)
  }
  return diffId
}
