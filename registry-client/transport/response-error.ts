import { RegistryError, type RegistryErrorCode } from '../errors.ts'
import type { Clock } from './clock.ts'
import type { HttpResponse } from './http-message.ts'
import { ERROR_BODY_BYTES_MAX, readStart } from './limits.ts'
import { redactText, redactUrl } from './redact.ts'
import { parseRetryAfter } from './retry.ts'
import { certificateDirectory } from './tls.ts'

/** Statuses after which the same request may well succeed (features row R36). */
const TEMPORARY = new Set([408, 425, 429, 500, 502, 503, 504])

const CODES: ReadonlyMap<number, RegistryErrorCode> = new Map([
  [401, 'unauthorized'],
  [403, 'denied'],
  [404, 'not-found'],
  [405, 'unsupported'],
  [408, 'timeout'],
  [412, 'tag-immutable'],
  [413, 'too-large'],
  [429, 'rate-limited'],
  [501, 'unsupported'],
])

/** One entry of `errors` in a registry's reply (distribution-spec, "Error Codes"). */
interface RegistryComplaint {
  readonly code: string | undefined
  readonly message: string | undefined
}

/**
 * The RegistryError for a response whose status is a failure; reads a bounded part of its body. The
 * reason shows status, and the registry's own code and message (features row R24), with every one
 * of `secrets` masked.
 */
export async function responseError(
  response: HttpResponse,
  options: { readonly clock: Clock; readonly secrets: readonly string[] },
): Promise<RegistryError> {
  const { status } = response
  const { host } = response.url
  const body = await readStart(response, ERROR_BODY_BYTES_MAX)
  const complaint = readComplaint(body, response.header('content-type') ?? '')
  const text = [complaint.code, complaint.message].filter((part) => part !== undefined).join(': ')
  const said = text === '' ? '' : `: ${redactText(text, options.secrets)}`
  const wantsTls = status === 400 && /http request.*https (?:server|port)/i.test(text)
  const hint = hintFor(response, wantsTls)
  return new RegistryError(
    wantsTls ? 'tls-failed' : codeOf(status, complaint),
    `${host} answered ${status}${nameOf(status)}${said}${hint}`,
    {
      host,
      status,
      registryCode: complaint.code,
      isTemporary: TEMPORARY.has(status),
      retryAfterMs: parseRetryAfter(response.header('retry-after'), options.clock.now()),
    },
  )
}

/**
 * Throws RegistryError `bad-response` for a success that is a web page: a portal, or a proxy's form to log in, which
 * would take every push. The body decides: Quay calls empty answers text/html.
 */
export async function refuseWebPage(response: HttpResponse): Promise<void> {
  if (!/html/i.test(response.header('content-type') ?? '')) return
  const text = (await readStart(response, ERROR_BODY_BYTES_MAX)).toString('utf8')
  if (!isWebPage(text)) return
  const { host } = response.url
  const reason = `${host} answered ${response.status} with ${redactText(webPage(text))}: that is no registry`
  throw new RegistryError('bad-response', reason, { host, status: response.status })
}

function hintFor({ status, url, header }: HttpResponse, wantsTls: boolean): string {
  const location = header('location')
  if (status >= 300 && status < 400 && location !== undefined && URL.canParse(location, url.href))
    return `; it points to ${redactUrl(new URL(location, url.href))}, which is not followed`
  if (status === 429 && url.host.endsWith('docker.io')) return '; a login raises the limit'
  if (wantsTls)
    return `; it wants TLS: put its CA certificate in ${certificateDirectory(url)}/ca.crt`
  return ''
}

function codeOf(
  status: number,
  { code: registryCode, message }: RegistryComplaint,
): RegistryErrorCode {
  // Statuses differ: 400 with Amazon, 412 with Harbor.
  if (status < 500 && /\bimmutable\b/i.test(message ?? '')) return 'tag-immutable'
  if (registryCode === 'TOOMANYREQUESTS') return 'rate-limited'
  if (registryCode === 'UNSUPPORTED') return 'unsupported'
  const code = CODES.get(status)
  if (code !== undefined) return code
  if (status >= 500) return 'server-failed'
  return 'bad-response'
}

function nameOf(status: number): string {
  const name = STATUS_NAMES.get(status)
  return name === undefined ? '' : ` (${name})`
}

const STATUS_NAMES: ReadonlyMap<number, string> = new Map([
  [400, 'bad request'],
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [404, 'not found'],
  [405, 'method not allowed'],
  [407, 'proxy wants a login'],
  [412, 'precondition failed'],
  [413, 'too large'],
  [416, 'range not satisfiable'],
  [429, 'too many requests'],
  [500, 'internal error'],
  [502, 'bad gateway'],
  [503, 'unavailable'],
  [504, 'gateway timeout'],
  [507, 'out of storage'],
])

function readComplaint(body: Buffer, contentType: string): RegistryComplaint {
  const text = body.toString('utf8')
  const json = parseJson(text)
  if (json !== undefined) return complaintIn(json)
  if (/html/i.test(contentType) || isWebPage(text))
    return { code: undefined, message: webPage(text) }
  return { code: undefined, message: text.trim() === '' ? undefined : text.trim() }
}

function isWebPage(text: string): boolean {
  return /^\s*<(?:!doctype|html)/i.test(text)
}

/** A page for a message: by its title. */
function webPage(text: string): string {
  const title = /<title[^>]*>([^<]{1,200})<\/title>/i.exec(text)?.[1]?.trim()
  return title === undefined ? 'an HTML page' : `an HTML page, "${title}"`
}

/** Docker's `errors` list, an OAuth2 error of a token server, or a bare `message`. */
function complaintIn(json: object): RegistryComplaint {
  const first: unknown = 'errors' in json && Array.isArray(json.errors) ? json.errors[0] : json
  if (typeof first !== 'object' || first === null) return { code: undefined, message: undefined }
  const code = stringIn(first, 'code') ?? stringIn(first, 'error')
  const message =
    stringIn(first, 'message') ??
    stringIn(first, 'error_description') ??
    stringIn(first, 'details') ??
    stringIn(first, 'detail')
  return { code, message }
}

function stringIn(object: object, key: string): string | undefined {
  const value: unknown = Object.hasOwn(object, key) ? Reflect.get(object, key) : undefined
  return typeof value === 'string' && value !== '' ? value : undefined
}

function parseJson(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    // Not JSON is an expected answer here: proxies send HTML and plain text.
    return undefined
  }
}
