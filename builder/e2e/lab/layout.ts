import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { createGzip } from 'node:zlib'

const runFile = promisify(execFile)

/** Go's zero time, as tools write that append a layer without saying how it was made. */
const MADE = '0001-01-01T00:00:00Z'

interface LayoutDescriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

/** A layer made from a root filesystem, with the hash of its tar. */
export interface LabLayer extends LayoutDescriptor {
  readonly diffId: string
}

/**
 * An OCI layout written with the machine's `tar` and node's zlib only, so that the images that tests build on do not come
 * from the code under test.
 */
export class LayoutWriter {
  readonly dir: string

  constructor(dir: string) {
    this.dir = dir
  }

  async open(): Promise<void> {
    await mkdir(join(this.dir, 'blobs', 'sha256'), { recursive: true })
    await writeFile(join(this.dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  }

  /** Packs a directory as a gzip layer. */
  async addLayer(rootfs: string): Promise<LabLayer> {
    const tar = join(this.dir, 'layer.tar')
    const flags = ['--sort=name', '--numeric-owner', '--xattrs', '--one-file-system']
    await runFile('tar', [...flags, '-C', rootfs, '-cf', tar, '.'])
    const diff = createHash('sha256')
    const digest = createHash('sha256')
    const tap = (hash: typeof diff): Transform =>
      new Transform({
        transform(chunk, _encoding, done): void {
          hash.update(chunk)
          done(null, chunk)
        },
      })
    const blob = join(this.dir, 'layer.tar.gz')
    await pipeline(
      createReadStream(tar),
      tap(diff),
      createGzip({ level: 1 }),
      tap(digest),
      createWriteStream(blob),
    )
    const hex = digest.digest('hex')
    const { size } = await stat(blob)
    await rename(blob, this.#blobPath(hex))
    await runFile('rm', ['-f', tar])
    const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip'
    return { mediaType, digest: `sha256:${hex}`, size, diffId: `sha256:${diff.digest('hex')}` }
  }

  /** Uses a layer of another layout without packing it again. */
  async copyLayer(from: string, layer: LabLayer): Promise<void> {
    const hex = layer.digest.slice('sha256:'.length)
    await runFile('cp', [join(from, 'blobs', 'sha256', hex), this.#blobPath(hex)])
  }

  async #put(mediaType: string, text: string): Promise<LayoutDescriptor> {
    const hex = createHash('sha256').update(text).digest('hex')
    await writeFile(this.#blobPath(hex), text)
    return { mediaType, digest: `sha256:${hex}`, size: Buffer.byteLength(text) }
  }

  #blobPath(hex: string): string {
    return join(this.dir, 'blobs', 'sha256', hex)
  }

  /** Ends the layout with one image named `tag`. */
  async finish(tag: string, layers: readonly LabLayer[], config: object): Promise<void> {
    const architecture = { x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch
    const image = {
      architecture,
      os: 'linux',
      created: MADE,
      config,
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
      history: layers.map(() => ({ created: MADE })),
    }
    const configDescriptor = await this.#put(
      'application/vnd.oci.image.config.v1+json',
      JSON.stringify(image),
    )
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    const manifest = await this.#put(
      mediaType,
      JSON.stringify({
        schemaVersion: 2,
        mediaType,
        config: configDescriptor,
        layers: layers.map(({ diffId: _, ...descriptor }) => descriptor),
      }),
    )
    const named = { ...manifest, annotations: { 'org.opencontainers.image.ref.name': tag } }
    await writeFile(
      join(this.dir, 'index.json'),
      JSON.stringify({ schemaVersion: 2, manifests: [named] }),
    )
    await writeFile(join(this.dir, 'layers.json'), JSON.stringify(layers))
  }
}

/** The layers of a layout that `LayoutWriter` made. */
export async function readLabLayers(layout: string): Promise<LabLayer[]> {
  const layers: unknown = JSON.parse(await readFile(join(layout, 'layers.json'), 'utf8'))
  if (!Array.isArray(layers)) throw new Error(`${layout}/layers.json is not a list`)
  return layers as LabLayer[]
}
