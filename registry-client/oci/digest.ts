import { createHash, type Hash } from 'node:crypto'

/**
 * `sha256:<64 hex>`: identifies bytes as they are stored or sent (a compressed layer, a config, a
 * manifest).
 */
export type Digest = string & { readonly __brand: 'Digest' }
/**
 * `sha256:<64 hex>` of an uncompressed layer tar (OCI image-spec, config.md, `rootfs.diff_ids`).
 */
export type DiffId = string & { readonly __brand: 'DiffId' }
/**
 * Identifies a stack of layers (OCI image-spec, config.md, "Layer ChainID"). The empty stack has
 * none.
 */
export type ChainId = string & { readonly __brand: 'ChainId' }

const SHA256 = /^sha256:[a-f0-9]{64}$/

/** The digest in `text`, or undefined when it is not a sha256 digest in canonical form. */
export function parseDigest(text: string): Digest | undefined {
  return SHA256.test(text) ? (text as Digest) : undefined
}

/** The diffId in `text`, or undefined when it is not a sha256 digest in canonical form. */
export function parseDiffId(text: string): DiffId | undefined {
  return SHA256.test(text) ? (text as DiffId) : undefined
}

/**
 * The 64 hex characters of a digest or diffId: the only form in which one becomes part of a path.
 */
export function digestHex(digest: Digest | DiffId | ChainId): string {
  return digest.slice('sha256:'.length)
}

/** Digest of bytes that are at hand. Streams are hashed where they are stored. */
export function digestOf(bytes: Uint8Array | string): Digest {
  return digestOfHash(createHash('sha256').update(bytes))
}

/** Digest of all that a sha256 hash was given; the hash can be given nothing more. */
export function digestOfHash(hash: Hash): Digest {
  return `sha256:${hash.digest('hex')}` as Digest
}

/** ChainId of `diffIds`, bottom layer first; undefined for the empty stack. */
export function chainIdOf(diffIds: readonly DiffId[]): ChainId | undefined {
  let chain: string | undefined
  for (const diffId of diffIds) {
    chain = chain === undefined ? diffId : digestOf(`${chain} ${diffId}`)
  }
  return chain as ChainId | undefined
}
