import { RegistryError } from '../errors.ts'
import type { Clock } from '../transport/clock.ts'
import { discard, type HttpRequest, type HttpResponse } from '../transport/http-message.ts'
import { JSON_BODY_BYTES_MAX, readBounded } from '../transport/limits.ts'
import type { HttpTransport } from '../transport/request.ts'
import { responseError } from '../transport/response-error.ts'
import { basicAuthorization, type Credentials, secretsOf } from './credentials.ts'

/** The token specification's default when the server names no lifetime. */
const LIFETIME_SEC_DEFAULT = 60
/** Shorter lifetimes make no sense and would fetch a token for every request. */
const LIFETIME_SEC_MIN = 10
const CLIENT_ID = 'tsbuild'
const TOKEN_TIMEOUT_MS = 90_000
/**
 * Answers with which token servers say that they do not know the form of the request: the other
 * form is tried (row R21).
 */
const WRONG_FORM = new Set([400, 404, 405, 415])

export interface AccessToken {
  readonly value: string
  /** Renew from then on: nine tenths of its life. */
  readonly renewAtMs: number
}

export interface TokenQuestion {
  readonly realm: URL
  /** For which this is, as logins name it. */
  readonly registry: string
  /** Not the registry's own host: then some addresses are refused. */
  readonly isForeign: boolean
  readonly service: string | undefined
  /** Each `resource:actions`. */
  readonly scopes: readonly string[]
  readonly credentials: Credentials | undefined
}

export interface TokenFetcher {
  readonly transport: HttpTransport
  readonly clock: Clock
}

/**
 * Asks a token server (features rows R21, R22): by GET with Basic, anonymous without credentials;
 * an identity token, or a password where GET is not offered, by OAuth2 POST. Throws RegistryError,
 * `unauthorized` when the credentials are refused.
 */
export async function fetchToken(
  fetcher: TokenFetcher,
  question: TokenQuestion,
  signal: AbortSignal,
): Promise<AccessToken> {
  // A token server that answers byte by byte would outlast every idle timeout.
  const deadline = AbortSignal.timeout(TOKEN_TIMEOUT_MS)
  try {
    return await askForToken(fetcher, question, AbortSignal.any([signal, deadline]))
  } catch (error) {
    signal.throwIfAborted()
    if (!deadline.aborted) throw error
    const { host } = question.realm
    const reason = `the token server ${host} sent no token in ${TOKEN_TIMEOUT_MS / 1000} s`
    throw new RegistryError('timeout', reason, { host, isTemporary: true, cause: error })
  }
}

async function askForToken(
  fetcher: TokenFetcher,
  question: TokenQuestion,
  signal: AbortSignal,
): Promise<AccessToken> {
  const { credentials, isForeign } = question
  const ask = async (request: HttpRequest): Promise<HttpResponse> =>
    fetcher.transport.send(request, { signal, isForeign })
  if (credentials?.kind === 'identity-token') {
    return read(fetcher, question, await ask(postRequest(question)))
  }
  const response = await ask(getRequest(question))
  if (!WRONG_FORM.has(response.status) || credentials?.kind !== 'password') {
    return read(fetcher, question, response)
  }
  await discard(response)
  return read(fetcher, question, await ask(postRequest(question)))
}

function getRequest(question: TokenQuestion): HttpRequest {
  const { credentials } = question
  const url = new URL(question.realm)
  if (question.service !== undefined) url.searchParams.set('service', question.service)
  for (const scope of question.scopes) url.searchParams.append('scope', scope)
  if (credentials?.kind !== 'password') {
    return { method: 'GET', url, headers: { accept: 'application/json' } }
  }
  url.searchParams.set('account', credentials.username)
  const authorization = basicAuthorization(credentials.username, credentials.password)
  return { method: 'GET', url, headers: { accept: 'application/json', authorization } }
}

function postRequest(question: TokenQuestion): HttpRequest {
  const { credentials } = question
  const form = new URLSearchParams({ client_id: CLIENT_ID })
  if (question.service !== undefined) form.set('service', question.service)
  if (question.scopes.length > 0) form.set('scope', question.scopes.join(' '))
  if (credentials?.kind === 'identity-token') {
    form.set('grant_type', 'refresh_token')
    form.set('refresh_token', credentials.token)
  } else if (credentials?.kind === 'password') {
    form.set('grant_type', 'password')
    form.set('username', credentials.username)
    form.set('password', credentials.password)
  }
  return {
    method: 'POST',
    url: question.realm,
    headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
    body: { kind: 'bytes', bytes: Buffer.from(form.toString()) },
  }
}

async function read(
  fetcher: TokenFetcher,
  question: TokenQuestion,
  response: HttpResponse,
): Promise<AccessToken> {
  const { host } = question.realm
  if (response.status !== 200) {
    const error = await responseError(response, {
      clock: fetcher.clock,
      secrets: secretsOf(question.credentials),
    })
    if (response.status !== 401) throw error
    throw new RegistryError('unauthorized', `${refusal(question)} (${error.reason})`, error)
  }
  const reply = parseReply(await readBounded(response, 'token reply', JSON_BODY_BYTES_MAX))
  if (reply === undefined) {
    throw new RegistryError('bad-response', `the token server ${host} sent no token`, {
      host,
      status: response.status,
    })
  }
  const lifetimeSec = Math.max(reply.lifetimeSec ?? LIFETIME_SEC_DEFAULT, LIFETIME_SEC_MIN)
  return { value: reply.token, renewAtMs: fetcher.clock.now() + lifetimeSec * 900 }
}

function refusal(question: TokenQuestion): string {
  const { credentials, realm, registry } = question
  if (credentials?.kind === 'password')
    return `${realm.host} refused the password of ${JSON.stringify(credentials.username)}`
  return credentials === undefined
    ? `${realm.host} wants a login: tsbuild login ${registry}`
    : `${realm.host} refused the stored token`
}

function parseReply(bytes: Buffer): { token: string; lifetimeSec: number | undefined } | undefined {
  let reply: unknown
  try {
    reply = JSON.parse(bytes.toString('utf8'))
  } catch {
    // Not JSON: no token, which is what the caller reports.
    return undefined
  }
  if (typeof reply !== 'object' || reply === null) return undefined
  const values: Readonly<Record<string, unknown>> = { ...reply }
  const token = [values['token'], values['access_token']].find(
    (value) => typeof value === 'string' && value !== '',
  )
  // Header values take printable ASCII only; anything else in a token is an attempt to smuggle.
  if (typeof token !== 'string' || !/^[\x21-\x7e]{1,65536}$/.test(token)) return undefined
  const lifetime = values['expires_in']
  return {
    token,
    lifetimeSec: typeof lifetime === 'number' && Number.isFinite(lifetime) ? lifetime : undefined,
  }
}
