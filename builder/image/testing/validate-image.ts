import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { extract } from 'tar-stream'
import {
  type Descriptor,
  type Digest,
  digestHex,
  digestOf,
  type ImageConfig,
  type ImageManifest,
  OCI_INDEX,
  parseImageConfig,
  parseManifest,
} from '../../../registry-client/oci/index.ts'

/** What a sound image holds, for further assertions. */
export interface ValidatedImage {
  /** Names in `index.json` or `manifest.json` that lead here. */
  readonly names: readonly string[]
  readonly platform: Descriptor['platform']
  readonly manifestDigest: Digest
  readonly manifest: ImageManifest
  readonly config: ImageConfig
  readonly configDigest: Digest
}

/** Decompresses zstd; Node 20 cannot by itself. */
export type ZstdHasher = (path: string) => Promise<string>

/**
 * Recomputes every digest, size and diffId of an OCI layout (directory or tar, with or without `manifest.json`) and compares
 * what must agree: media types of one family, as many diffIds as layers, as many history entries with a layer. Returns
 * the images in order; throws an Error that names the first thing that is wrong.
 */
export async function validateImage(
  path: string,
  hashZstd?: ZstdHasher,
): Promise<ValidatedImage[]> {
  if ((await stat(path)).isDirectory()) {
    return validateLayout(path, hashZstd)
  }
  const directory = await mkdtemp(join(tmpdir(), 'tsbuild-validate-'))
  try {
    await unpackArchive(path, directory)
    return await validateLayout(directory, hashZstd)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function validateLayout(
  directory: string,
  hashZstd: ZstdHasher | undefined,
): Promise<ValidatedImage[]> {
  const version: unknown = JSON.parse(await readFile(join(directory, 'oci-layout'), 'utf8'))
  check(
    JSON.stringify(version) === '{"imageLayoutVersion":"1.0.0"}',
    `oci-layout holds ${JSON.stringify(version)}`,
  )
  const index = parseManifest(await readFile(join(directory, 'index.json')), OCI_INDEX)
  check(index.kind === 'index', 'index.json is no index')
  const images: ValidatedImage[] = []
  for (const descriptor of index.index.manifests) {
    images.push(...(await validateTree(directory, descriptor, hashZstd)))
  }
  await checkDockerManifest(directory, images)
  return images
}

/** An image, or every image of an index. */
async function validateTree(
  directory: string,
  descriptor: Descriptor,
  hashZstd: ZstdHasher | undefined,
): Promise<ValidatedImage[]> {
  const parsed = parseManifest(await readBlob(directory, descriptor), descriptor.mediaType)
  if (parsed.kind === 'index') {
    const images: ValidatedImage[] = []
    for (const child of parsed.index.manifests) {
      check(
        child.platform !== undefined,
        `index ${descriptor.digest}: ${child.digest} has no platform`,
      )
      const names = namesOf(descriptor)
      images.push(
        ...(await validateTree(directory, child, hashZstd)).map((image) => ({
          ...image,
          names,
          platform: child.platform,
        })),
      )
    }
    return images
  }
  const { manifest } = parsed
  const config = parseImageConfig(await readBlob(directory, manifest.config))
  await checkLayers(directory, manifest, config, hashZstd)
  const withLayer = config.history.filter((entry) => entry.empty_layer !== true).length
  check(
    config.history.length === 0 || withLayer === manifest.layers.length,
    `${descriptor.digest}: ${withLayer} history entries with a layer, ${manifest.layers.length} layers`,
  )
  return [
    {
      names: namesOf(descriptor),
      platform: descriptor.platform,
      manifestDigest: descriptor.digest,
      manifest,
      config,
      configDigest: manifest.config.digest,
    },
  ]
}

async function checkLayers(
  directory: string,
  manifest: ImageManifest,
  config: ImageConfig,
  hashZstd: ZstdHasher | undefined,
): Promise<void> {
  const diffIds = config.rootfs.diff_ids
  check(
    diffIds.length === manifest.layers.length,
    `${diffIds.length} diffIds for ${manifest.layers.length} layers`,
  )
  const isOci = manifest.mediaType.startsWith('application/vnd.oci.')
  for (const [position, layer] of manifest.layers.entries()) {
    const family = isOci ? 'application/vnd.oci.' : 'application/vnd.docker.'
    check(
      layer.mediaType.startsWith(family),
      `layer ${layer.digest} has type ${layer.mediaType} in a ${manifest.mediaType}`,
    )
    const path = blobPath(directory, layer.digest)
    const { digest, sizeBytes, head } = await hashFile(path)
    check(digest === layer.digest, `layer ${layer.digest} has digest ${digest}`)
    check(
      sizeBytes === layer.sizeBytes,
      `layer ${layer.digest} has ${sizeBytes} bytes, not ${layer.sizeBytes}`,
    )
    const compression = compressionOf(head)
    check(
      compression === declaredCompression(layer.mediaType),
      `layer ${layer.digest} is ${compression}, its type ${layer.mediaType}`,
    )
    const diffId =
      compression === 'zstd' ? await hashZstd?.(path) : await hashTar(path, compression)
    check(
      diffId === undefined || diffId === diffIds[position],
      `layer ${layer.digest} has diffId ${diffId}, not ${diffIds[position]}`,
    )
  }
}

/** `manifest.json` of `docker save`: present only in docker archives, and pointing to the very same blobs. */
async function checkDockerManifest(
  directory: string,
  images: readonly ValidatedImage[],
): Promise<void> {
  const text = await readFile(join(directory, 'manifest.json'), 'utf8').catch(() => undefined)
  if (text === undefined) {
    return
  }
  const json: unknown = JSON.parse(text)
  check(Array.isArray(json) && json.length > 0, 'manifest.json is no list')
  const blob = (digest: Digest): string => `blobs/sha256/${digestHex(digest)}`
  const known = images.map((image) =>
    JSON.stringify([
      blob(image.configDigest),
      image.manifest.layers.map((layer) => blob(layer.digest)),
    ]),
  )
  for (const entry of json) {
    const fields = new Map<string, unknown>(Object.entries(entry))
    const pointed = JSON.stringify([fields.get('Config'), fields.get('Layers')])
    check(
      known.includes(pointed),
      `manifest.json points to ${pointed}, which is none of the layout's images`,
    )
  }
}

async function readBlob(directory: string, descriptor: Descriptor): Promise<Buffer> {
  const bytes = await readFile(blobPath(directory, descriptor.digest))
  check(
    digestOf(bytes) === descriptor.digest,
    `blob ${descriptor.digest} has digest ${digestOf(bytes)}`,
  )
  check(
    bytes.byteLength === descriptor.sizeBytes,
    `blob ${descriptor.digest} has ${bytes.byteLength} bytes, not ${descriptor.sizeBytes}`,
  )
  return bytes
}

function blobPath(directory: string, digest: Digest): string {
  return join(directory, 'blobs/sha256', digestHex(digest))
}

async function hashFile(
  path: string,
): Promise<{ digest: string; sizeBytes: number; head: Buffer }> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  let head = Buffer.alloc(0)
  for await (const chunk of createReadStream(path)) {
    const bytes: Buffer = chunk
    head = head.length === 0 ? Buffer.from(bytes.subarray(0, 8)) : head
    hash.update(bytes)
    sizeBytes += bytes.length
  }
  return { digest: `sha256:${hash.digest('hex')}`, sizeBytes, head }
}

async function hashTar(path: string, compression: 'gzip' | 'uncompressed'): Promise<string> {
  const hash = createHash('sha256')
  const sink = async (chunks: AsyncIterable<Buffer>): Promise<void> => {
    for await (const chunk of chunks) {
      hash.update(chunk)
    }
  }
  if (compression === 'gzip') {
    await pipeline(createReadStream(path), createGunzip(), sink)
  } else {
    await pipeline(createReadStream(path), sink)
  }
  return `sha256:${hash.digest('hex')}`
}

function compressionOf(head: Buffer): 'gzip' | 'zstd' | 'uncompressed' {
  if (head[0] === 0x1f && head[1] === 0x8b) {
    return 'gzip'
  }
  return head.subarray(0, 4).equals(Buffer.from([0x28, 0xb5, 0x2f, 0xfd])) ? 'zstd' : 'uncompressed'
}

function declaredCompression(mediaType: string): string {
  if (/[+.]gzip$/.test(mediaType)) {
    return 'gzip'
  }
  return mediaType.endsWith('+zstd') ? 'zstd' : 'uncompressed'
}

function namesOf(descriptor: Descriptor): string[] {
  const name = descriptor.annotations?.['io.containerd.image.name']
  return name === undefined ? [] : [name]
}

/** Layout archives hold `oci-layout`, `index.json`, `manifest.json` and blobs; anything else is refused by name. */
async function unpackArchive(path: string, directory: string): Promise<void> {
  const archive = extract()
  const reading = pipeline(createReadStream(path), archive)
  for await (const entry of archive) {
    const { name, type } = entry.header
    if (type === 'directory') {
      entry.resume()
      continue
    }
    check(
      type === 'file' &&
        /^(?:oci-layout|index\.json|manifest\.json|blobs\/sha256\/[a-f0-9]{64})$/.test(name),
      `the archive holds ${type} ${name}`,
    )
    const target = join(directory, dirname(name), basename(name))
    await mkdir(dirname(target), { recursive: true })
    await pipeline(
      Readable.from(entry, { objectMode: false }),
      createWriteStream(target, { flags: 'wx' }),
    )
  }
  await reading
}

function check(isSound: boolean, message: string): asserts isSound {
  if (!isSound) {
    throw new Error(`the image is not valid: ${message}`)
  }
}
