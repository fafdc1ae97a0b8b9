import {
  createPrivateKey,
  createPublicKey,
  type JsonWebKey,
  type KeyObject,
  sign as signBytes,
} from 'node:crypto'
import { WireError, WireReader, wireNumber, wireString } from './ssh-wire.ts'

/** A private key as an agent offers it. */
export interface SshKey {
  /** As in `authorized_keys`, decoded. */
  readonly publicBlob: Buffer
  /** The signature in SSH's form. `flags`: of the agent protocol, which hash an RSA key is to use. */
  sign(data: Uint8Array, flags: number): Buffer
}

/** Why a file is of no use as a key; the message is the reason without the file's name. */
export class SshKeyError extends Error {
  override readonly name = 'SshKeyError'
}

/** draft-ietf-sshm-ssh-agent, "Signature flags". */
const RSA_SHA2_256 = 2
const RSA_SHA2_512 = 4

const OPENSSH_MAGIC = Buffer.from('openssh-key-v1\0')
const OPENSSH_PEM =
  /-----BEGIN OPENSSH PRIVATE KEY-----\r?\n([A-Za-z0-9+/=\s]+)-----END OPENSSH PRIVATE KEY-----/

/** PKCS #8, and the older forms of PEM (RFC 1421). */
const PASSPHRASE = /^(?:-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED)/m

const CURVES = {
  'P-256': { name: 'nistp256', hash: 'sha256', sizeBytes: 32 },
  'P-384': { name: 'nistp384', hash: 'sha384', sizeBytes: 48 },
  'P-521': { name: 'nistp521', hash: 'sha512', sizeBytes: 66 },
} as const

/**
 * Reads a private key: OpenSSH's own format, and PEM of PKCS #1, SEC 1 and PKCS #8; RSA, ECDSA (P-256, P-384, P-521) and
 * Ed25519. Throws `SshKeyError` for anything else, also for a key with a passphrase: nobody is asked for one in a build.
 */
export function readPrivateKey(file: Uint8Array): SshKey {
  const text = Buffer.from(file).toString('latin1')
  const own = OPENSSH_PEM.exec(text)?.[1]
  try {
    const key =
      own === undefined
        ? createPrivateKey(text)
        : createPrivateKey({ key: readOpenSsh(Buffer.from(own, 'base64')), format: 'jwk' })
    return sshKey(key)
  } catch (error) {
    throw asKeyError(error, text)
  }
}

function asKeyError(error: unknown, text: string): SshKeyError {
  if (error instanceof SshKeyError) return error
  const cause = error instanceof Error ? error : new Error(String(error))
  if (PASSPHRASE.test(text)) return withPassphrase()
  if (cause instanceof WireError) return new SshKeyError(`the key is damaged: ${cause.message}`)
  const isPem = text.includes('PRIVATE KEY-----')
  return new SshKeyError(
    isPem ? `the key is damaged: ${cause.message}` : 'it is neither a socket nor a private key',
  )
}

function withPassphrase(): SshKeyError {
  return new SshKeyError(
    'this private key is passphrase protected; add it to an agent with ssh-add and forward that',
  )
}

/** The key in OpenSSH's format (its PROTOCOL.key) as a JSON web key, which node:crypto reads. */
function readOpenSsh(bytes: Buffer): JsonWebKey {
  const outer = new WireReader(bytes)
  if (!outer.take(OPENSSH_MAGIC.length).equals(OPENSSH_MAGIC)) throw new WireError('no such format')
  const cipher = outer.text()
  outer.text()
  outer.string()
  if (cipher !== 'none') throw withPassphrase()
  if (outer.uint32() !== 1) throw new SshKeyError('a file with several keys is not supported')
  outer.string()
  const inner = new WireReader(outer.string())
  const check = inner.uint32()
  if (inner.uint32() !== check) throw new WireError('its check numbers differ')
  const type = inner.text()
  switch (type) {
    case 'ssh-ed25519':
      return readEd25519(inner)
    case 'ssh-rsa':
      return readRsa(inner)
    case 'ecdsa-sha2-nistp256':
    case 'ecdsa-sha2-nistp384':
    case 'ecdsa-sha2-nistp521':
      return readEcdsa(inner)
    default:
      throw new SshKeyError(`keys of type ${JSON.stringify(type)} are not supported`)
  }
}

function readEd25519(reader: WireReader): JsonWebKey {
  const x = reader.string()
  const seed = reader.string().subarray(0, 32)
  return { kty: 'OKP', crv: 'Ed25519', x: base64url(x), d: base64url(seed) }
}

function readRsa(reader: WireReader): JsonWebKey {
  const [n, e, d, qi, p, q] = Array.from({ length: 6 }, () => reader.unsigned())
  if (!n || !e || !d || !qi || !p || !q) throw new WireError('it ends too early')
  const reduced = (prime: Buffer): string => {
    const modulus = numberOf(prime) - 1n
    if (modulus < 1n) throw new WireError('a prime is none')
    const hex = (numberOf(d) % modulus).toString(16)
    return base64url(Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex'))
  }
  return {
    kty: 'RSA',
    ...{ n: base64url(n), e: base64url(e), d: base64url(d) },
    ...{ p: base64url(p), q: base64url(q), dp: reduced(p), dq: reduced(q), qi: base64url(qi) },
  }
}

function readEcdsa(reader: WireReader): JsonWebKey {
  const name = reader.text()
  const entry = Object.entries(CURVES).find(([, curve]) => curve.name === name)
  if (entry === undefined) throw new WireError(`its curve is ${JSON.stringify(name)}`)
  const [crv, { sizeBytes }] = entry
  const point = reader.string()
  if (point.length !== 1 + 2 * sizeBytes || point[0] !== 4) throw new WireError('no such point')
  const d = reader.unsigned()
  if (d.length > sizeBytes) throw new WireError('its number is too large')
  return {
    ...{ kty: 'EC', crv, x: base64url(point.subarray(1, 1 + sizeBytes)) },
    y: base64url(point.subarray(1 + sizeBytes)),
    d: base64url(Buffer.concat([Buffer.alloc(sizeBytes - d.length), d])),
  }
}

function sshKey(key: KeyObject): SshKey {
  const jwk = key.asymmetricKeyType === 'dsa' ? {} : createPublicKey(key).export({ format: 'jwk' })
  if (jwk.kty === 'RSA') return rsaKey(key, jwk)
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') return ed25519Key(key, jwk)
  if (jwk.kty === 'EC' && isCurve(jwk.crv)) return ecdsaKey(key, jwk, CURVES[jwk.crv])
  const name = jwk.crv ?? key.asymmetricKeyType
  throw new SshKeyError(`keys of type ${JSON.stringify(name)} are not supported`)
}

function rsaKey(key: KeyObject, jwk: JsonWebKey): SshKey {
  const parts = [wireString('ssh-rsa'), wireNumber(decoded(jwk.e)), wireNumber(decoded(jwk.n))]
  return {
    publicBlob: Buffer.concat(parts),
    sign: (data, flags) => {
      const [name, hash] =
        (flags & RSA_SHA2_512) !== 0
          ? ['rsa-sha2-512', 'sha512']
          : (flags & RSA_SHA2_256) !== 0
            ? ['rsa-sha2-256', 'sha256']
            : ['ssh-rsa', 'sha1']
      return signature(name, signBytes(hash, data, key))
    },
  }
}

function ed25519Key(key: KeyObject, jwk: JsonWebKey): SshKey {
  return {
    publicBlob: Buffer.concat([wireString('ssh-ed25519'), wireString(decoded(jwk.x))]),
    sign: (data) => signature('ssh-ed25519', signBytes(null, data, key)),
  }
}

function ecdsaKey(
  key: KeyObject,
  jwk: JsonWebKey,
  { name, hash, sizeBytes }: (typeof CURVES)[keyof typeof CURVES],
): SshKey {
  const type = `ecdsa-sha2-${name}`
  const point = Buffer.concat([Buffer.from([4]), decoded(jwk.x), decoded(jwk.y)])
  return {
    publicBlob: Buffer.concat([wireString(type), wireString(name), wireString(point)]),
    sign: (data) => {
      const both = signBytes(hash, data, { key, dsaEncoding: 'ieee-p1363' })
      const [r, s] = [both.subarray(0, sizeBytes), both.subarray(sizeBytes)]
      return signature(type, Buffer.concat([wireNumber(r), wireNumber(s)]))
    },
  }
}

function signature(type: string, bytes: Buffer): Buffer {
  return Buffer.concat([wireString(type), wireString(bytes)])
}

function isCurve(name: string | undefined): name is keyof typeof CURVES {
  return name !== undefined && Object.hasOwn(CURVES, name)
}

function decoded(text: string | undefined): Buffer {
  return Buffer.from(text ?? '', 'base64url')
}

function base64url(bytes: Buffer): string {
  return bytes.toString('base64url')
}

function numberOf(bytes: Buffer): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${bytes.toString('hex')}`)
}
