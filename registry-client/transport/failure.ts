import { RegistryError, type RegistryErrorCode } from '../errors.ts'
import { certificateDirectory } from './tls.ts'

interface KnownFailure {
  readonly code: RegistryErrorCode
  readonly reason: string
  readonly isTemporary: boolean
}

const CUT: KnownFailure = {
  code: 'registry-unreachable',
  reason: 'the connection was cut',
  isTemporary: true,
}
const SILENT: KnownFailure = { code: 'timeout', reason: 'no answer in time', isTemporary: true }
const NOT_TLS: KnownFailure = {
  code: 'tls-failed',
  reason:
    'no TLS on this port: the server seems to speak plain http; if that is intended, name it with --insecure-registry',
  isTemporary: false,
}

function unreachable(reason: string, isTemporary: boolean): KnownFailure {
  return { code: 'registry-unreachable', reason, isTemporary }
}

function untrusted(reason: string): KnownFailure {
  return { code: 'tls-untrusted', reason, isTemporary: false }
}

const UNKNOWN_AUTHORITY = untrusted('its certificate is signed by an unknown authority')

/** By `code` of the error that node or undici gives. */
const KNOWN_FAILURES: ReadonlyMap<string, KnownFailure> = new Map([
  ['ECONNREFUSED', unreachable('connection refused: nothing listens there', false)],
  ['ENOTFOUND', unreachable('there is no host of that name', false)],
  ['EAI_AGAIN', unreachable('the name server did not answer', true)],
  ['EHOSTUNREACH', unreachable('no route to the host', true)],
  ['ENETUNREACH', unreachable('the network is unreachable', true)],
  ['ECONNRESET', CUT],
  ['EPIPE', CUT],
  ['UND_ERR_SOCKET', CUT],
  ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', CUT],
  ['ETIMEDOUT', SILENT],
  [
    'UND_ERR_CONNECT_TIMEOUT',
    { code: 'timeout', reason: 'no connection in time', isTemporary: false },
  ],
  ['UND_ERR_HEADERS_TIMEOUT', SILENT],
  ['UND_ERR_BODY_TIMEOUT', { ...SILENT, reason: 'its answer stopped in the middle' }],
  [
    'UND_ERR_HEADERS_OVERFLOW',
    { code: 'bad-response', reason: 'its answer has too many headers', isTemporary: false },
  ],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', untrusted('its certificate is self-signed')],
  ['SELF_SIGNED_CERT_IN_CHAIN', UNKNOWN_AUTHORITY],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', UNKNOWN_AUTHORITY],
  ['UNABLE_TO_GET_ISSUER_CERT', UNKNOWN_AUTHORITY],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', UNKNOWN_AUTHORITY],
  ['CERT_HAS_EXPIRED', untrusted('its certificate has expired')],
  ['CERT_NOT_YET_VALID', untrusted("its certificate is not valid yet; check this machine's clock")],
  ['ERR_TLS_CERT_ALTNAME_INVALID', untrusted('its certificate is for another host name')],
  ['ERR_SSL_WRONG_VERSION_NUMBER', NOT_TLS],
  ['ERR_SSL_PACKET_LENGTH_TOO_LONG', NOT_TLS],
  ['ERR_SSL_HTTP_REQUEST', NOT_TLS],
  ['EPROTO', { code: 'tls-failed', reason: 'the TLS handshake failed', isTemporary: false }],
])

const CA_FIXABLE = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
])

/** How a connection was to be made. */
export interface ConnectionWay {
  readonly proxy: URL | undefined
  /** Whether authorities were set up for this host in particular. */
  readonly hasOwnAuthorities: boolean
}

/**
 * The RegistryError for a connection to `url` that failed, with what to do where we know it
 * (features row R58); anything that is not a known failure of a connection is returned as it came.
 */
export function describeConnectionError(
  error: unknown,
  url: URL,
  way: ConnectionWay = { proxy: undefined, hasOwnAuthorities: false },
): unknown {
  if (error instanceof RegistryError) return error
  const code = errorCode(error)
  if (code === undefined) return error
  const host = url.host
  const proxyStatus = /^Proxy response \((\d+)\)/.exec(
    error instanceof Error ? error.message : '',
  )?.[1]
  if (proxyStatus !== undefined) {
    const advice = proxyStatus === '407' ? ': it wants a login' : ''
    return new RegistryError(
      'registry-unreachable',
      `${host}: the proxy answered ${proxyStatus}${advice}`,
      { host, cause: error },
    )
  }
  const known = isPlainHttpAnswer(error) ? NOT_TLS : KNOWN_FAILURES.get(code)
  if (known !== undefined) return knownFailure(known, { code, error, url, way })
  if (/ALERT_(?:CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA)$/.test(code)) {
    const files = `${certificateDirectory(url)}/client.cert and client.key`
    const reason = `${host} wants another client certificate: ${files}`
    return new RegistryError('tls-failed', reason, { host, cause: error })
  }
  if (code.startsWith('HPE_')) {
    return new RegistryError('bad-response', `${host} does not speak HTTP`, {
      host,
      cause: error,
    })
  }
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_')) {
    return new RegistryError('tls-failed', `${host}: the TLS handshake failed (${code})`, {
      host,
      cause: error,
    })
  }
  return error
}

function knownFailure(
  known: KnownFailure,
  found: {
    readonly code: string
    readonly error: unknown
    readonly url: URL
    readonly way: ConnectionWay
  },
): RegistryError {
  const { error, url, way } = found
  const hint = CA_FIXABLE.has(found.code)
    ? authorityHint(url, way.hasOwnAuthorities)
    : otherNames(error)
  return new RegistryError(known.code, `${hostBy(url, way.proxy)}: ${known.reason}${hint}`, {
    host: url.host,
    isTemporary: known.isTemporary,
    cause: error,
  })
}

/** Who was to be reached, and how. */
export function hostBy({ host }: URL, proxy: URL | undefined): string {
  return proxy === undefined ? host : `${host} by the proxy ${proxy.host}`
}

function authorityHint(url: URL, hasOwnAuthorities: boolean): string {
  const found = hasOwnAuthorities ? ', by none of those set up for this host' : ''
  return `${found}; put its CA certificate in ${certificateDirectory(url)}/ca.crt`
}

/** Which names a certificate has instead of the one that was asked for: `DNS:a.example, IP Address:…`. */
function otherNames(error: unknown): string {
  if (!(error instanceof Error) || !('cert' in error)) return ''
  const { cert } = error
  if (typeof cert !== 'object' || cert === null || !('subjectaltname' in cert)) return ''
  const names = String(cert.subjectaltname).replaceAll(/[^\w.:*, -]/g, '?')
  return ` (${names.slice(0, 200)})`
}

/**
 * OpenSSL read the first bytes of an HTTP reply as a TLS record; node reports some of its messages
 * as EPROTO only.
 */
function isPlainHttpAnswer(error: unknown): boolean {
  return (
    error instanceof Error &&
    /wrong version number|packet length too long|http request/.test(error.message)
  )
}

/**
 * Node wraps: an AggregateError of all addresses tried, undici's SocketError around the socket's
 * own error.
 */
function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const inner = error.cause === undefined ? undefined : errorCode(error.cause)
  // undici's parser has lost the codes that it means to give.
  if (error.name === 'HTTPParserError') return 'HPE_INVALID'
  if (inner !== undefined && KNOWN_FAILURES.has(inner)) return inner
  if (error instanceof AggregateError) {
    for (const one of error.errors) {
      const code = errorCode(one)
      if (code !== undefined) return code
    }
  }
  return 'code' in error && typeof error.code === 'string' ? error.code : inner
}
