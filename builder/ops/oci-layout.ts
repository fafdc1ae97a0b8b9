import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type Descriptor,
  type Digest,
  digestHex,
  digestOf,
  OciError,
  type ParsedManifest,
  parseDigest,
  parseManifest,
} from '../../registry-client/oci/index.ts'
import { errnoOf } from '../../snapshotter/index.ts'
import { BuildError } from '../errors.ts'

const SMALL_BYTES_MAX = 8 * 1024 * 1024

/** An image in an OCI layout directory (image-spec, image-layout.md), read only. */
export class OciLayout {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  /**
   * The descriptor of what `reference` names: a digest, be it listed or not, or a tag as in
   * `org.opencontainers.image.ref.name`; without one the tag `latest` or the only entry. Errors: `layout-invalid`,
   * `image-missing`.
   */
  async find(reference: string | undefined): Promise<Descriptor> {
    const manifests = await this.entries()
    const digest = reference === undefined ? undefined : parseDigest(reference.replace(/^.*@/, ''))
    const tag = reference?.replace(/@.*$/, '').replace(/^:/, '')
    const found = manifests.find((manifest) =>
      digest !== undefined ? manifest.digest === digest : tagOf(manifest) === (tag ?? 'latest'),
    )
    const only = reference === undefined && manifests.length === 1 ? manifests[0] : undefined
    const chosen = found ?? only ?? (digest && (await this.#unlisted(digest)))
    if (chosen === undefined) {
      const known = manifests.map((manifest) => tagOf(manifest) ?? manifest.digest).join(', ')
      throw new BuildError(
        'image-missing',
        `could not find ${reference ?? 'latest'} in OCI layout ${this.path}: it holds ${known || 'nothing'}`,
      )
    }
    return chosen
  }

  /** A manifest that index.json does not list: one of an index, or one whose name another has now. */
  async #unlisted(digest: Digest): Promise<Descriptor | undefined> {
    const isMissing = await stat(this.blobPath(digest)).then(
      () => false,
      (error: unknown) => errnoOf(error) === 'ENOENT',
    )
    if (isMissing) return undefined
    const bytes = await this.read({ digest })
    const parsed = this.#parse(bytes, undefined, `blob ${digest}`)
    const { mediaType } = parsed.kind === 'index' ? parsed.index : parsed.manifest
    return { mediaType, digest, sizeBytes: bytes.byteLength }
  }

  /** What index.json lists, with and without names. Errors: `layout-invalid`. */
  async entries(): Promise<readonly Descriptor[]> {
    const bytes = await this.#readFile(join(this.path, 'index.json'))
    const parsed = this.#parse(bytes, undefined, 'index.json')
    if (parsed.kind !== 'index') {
      throw this.#invalid('index.json is no image index')
    }
    return parsed.index.manifests
  }

  /** Host path of a blob. */
  blobPath(digest: Digest): string {
    return join(this.path, 'blobs/sha256', digestHex(digest))
  }

  /** A small blob, verified. Errors: `layout-invalid`. */
  async read(
    { digest }: Pick<Descriptor, 'digest'>,
    sizeBytesMax: number = SMALL_BYTES_MAX,
  ): Promise<Uint8Array> {
    const bytes = await this.#readFile(this.blobPath(digest), sizeBytesMax)
    if (digestOf(bytes) !== digest) {
      throw this.#invalid(`blob ${digest} has other bytes than its digest says`)
    }
    return bytes
  }

  /** A manifest or index, verified. Errors: `layout-invalid`. */
  async manifest(descriptor: Descriptor): Promise<{ bytes: Uint8Array; parsed: ParsedManifest }> {
    const { digest, mediaType } = descriptor
    const bytes = await this.read(descriptor)
    return { bytes, parsed: this.#parse(bytes, mediaType, `blob ${digest}`) }
  }

  #parse(bytes: Uint8Array, mediaType: string | undefined, what: string): ParsedManifest {
    try {
      return parseManifest(bytes, mediaType)
    } catch (error) {
      if (error instanceof OciError) throw this.#invalid(`${what}: ${error.message}`, error)
      throw error
    }
  }

  async #readFile(path: string, sizeBytesMax = SMALL_BYTES_MAX): Promise<Uint8Array> {
    try {
      const { size } = await stat(path)
      if (size > sizeBytesMax) {
        throw this.#invalid(`${path} has ${size} bytes, at most ${sizeBytesMax} are allowed`)
      }
      return await readFile(path)
    } catch (error) {
      if (error instanceof BuildError) {
        throw error
      }
      throw this.#invalid(error instanceof Error ? error.message : String(error), error)
    }
  }

  #invalid(reason: string, cause?: unknown): BuildError {
    return new BuildError('layout-invalid', `could not use OCI layout ${this.path}: ${reason}`, {
      cause,
    })
  }
}

/** The tag of an entry, as `org.opencontainers.image.ref.name` gives it. */
export function tagOf(manifest: Descriptor): string | undefined {
  const name = manifest.annotations?.['org.opencontainers.image.ref.name']
  // Some writers put the whole reference there.
  return name?.includes('/') === true ? (name.split(':').at(-1) ?? name) : name
}
