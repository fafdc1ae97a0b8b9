import { RegistryError } from '../errors.ts'
import { isLoopbackName } from './endpoint.ts'
import type { HttpMethod, HttpResponse } from './http-message.ts'
import { redactUrl } from './redact.ts'

export const REDIRECTS_MAX: number = 5

const REPLAYING = new Set([307, 308])
const READING = new Set([301, 302, 303, 307, 308])

/**
 * Whether this response sends the request elsewhere. One with a body only moves by 307 and 308,
 * which keep the method.
 */
export function isRedirect(method: HttpMethod, response: HttpResponse): boolean {
  const statuses = method === 'GET' || method === 'HEAD' ? READING : REPLAYING
  return statuses.has(response.status) && response.header('location') !== undefined
}

/**
 * Where the Location of `response` leads (features rows R25, R44): relative or absolute, its query
 * string kept. From TLS to plain http is refused, except that a registry behind a TLS proxy that
 * does not know of it names itself with http: then it stays with TLS. Throws RegistryError
 * `bad-response`.
 */
export function locationOf(response: HttpResponse): URL {
  const from = response.url
  const text = response.header('location')
  if (text === undefined || !URL.canParse(text, from.href)) {
    throw badLocation(
      from,
      text === undefined ? 'sent no Location' : 'sent a Location that is not a URL',
    )
  }
  const target = new URL(text, from.href)
  target.hash = ''
  if (target.protocol !== 'https:' && target.protocol !== 'http:') {
    throw badLocation(from, `points to ${redactUrl(target)}, which is not http`)
  }
  if (target.username !== '' || target.password !== '')
    throw badLocation(from, 'sent a Location with a login in it')
  if (from.protocol === 'https:' && target.protocol === 'http:')
    return withoutDowngrade(from, target)
  return target
}

function withoutDowngrade(from: URL, target: URL): URL {
  const isSelf =
    target.hostname === from.hostname && (target.port === '' || target.port === from.port)
  if (isSelf) return new URL(`${from.origin}${target.pathname}${target.search}`)
  if (isLoopbackName(from.hostname) && isLoopbackName(target.hostname)) return target
  throw badLocation(from, `points from https to plain http at ${redactUrl(target)}`)
}

function badLocation(from: URL, reason: string): RegistryError {
  return new RegistryError('bad-response', `${from.host} ${reason}`, { host: from.host })
}
