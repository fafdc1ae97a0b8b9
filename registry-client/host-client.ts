import pLimit, { type LimitFunction } from 'p-limit'
import { type Access, Authorizer } from './auth/authorizer.ts'
import { parseChallenges } from './auth/challenge.ts'
import type { CredentialSource } from './auth/credentials.ts'
import { RegistryError, restated } from './errors.ts'
import type { Clock } from './transport/clock.ts'
import type { Endpoint } from './transport/endpoint.ts'
import {
  discard,
  type HttpMethod,
  type HttpRequest,
  type HttpResponse,
  type RequestBody,
} from './transport/http-message.ts'
import { orAborted } from './transport/or-aborted.ts'
import { isRedirect, locationOf, REDIRECTS_MAX } from './transport/redirect.ts'
import { redactText } from './transport/redact.ts'
import type { HttpTransport } from './transport/request.ts'
import { responseError } from './transport/response-error.ts'
import { type RetryPolicy, retrying } from './transport/retry.ts'

/**
 * Blobs move over few connections, as BuildKit does (features row R35); small calls need not wait
 * behind them. Downloads and uploads are counted apart: the source of an upload may itself be a
 * download from the same registry, which must not wait for the upload to end.
 */
const BLOBS_AT_ONCE = 4
const CALLS_AT_ONCE = 16
/** Uploads of blobs that are still being made mostly wait: they must not keep whole ones from their turn. */
const GROWING_AT_ONCE = 2
/** A first answer, one with a token, one with a token of wider rights. */
const SENDS_PER_EXCHANGE = 3
/**
 * However slowly a server answers, a small call ends: byte by byte would outlast every idle
 * timeout.
 */
const CALL_TIMEOUT_MS = 10 * 60_000

/**
 * How long a small call is tried: four names that are looked up for 20 s each, or four answers that are waited for, are longer than
 * anybody waits to hear of a wrong name.
 */
const CALL_PATIENCE_MS = 60_000

/** To a HEAD these come without a word of explanation (features row R24). */
const SILENT_REFUSALS = new Set([400, 403, 409, 422])

/** One API call. */
export interface HostRequest {
  readonly method: HttpMethod
  /** Below the endpoint's base, e.g. `library/alpine/manifests/3`, or where a Location led. */
  readonly target: string | URL
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: RequestBody
  readonly access: Access
  /** Statuses that are answers; all others throw. */
  readonly expect: readonly number[]
  readonly lane: 'call' | 'download' | 'upload' | 'growing'
}

export interface HostClientOptions {
  readonly endpoint: Endpoint
  readonly transport: HttpTransport
  readonly source: CredentialSource
  readonly clock: Clock
  readonly retryPolicy: RetryPolicy
  /** One line for the user: a Warning that the registry sent (features row R41). */
  readonly onNotice: (text: string) => void
}

/**
 * Calls to one registry: authenticated, redirected, limited in number, with failures as
 * RegistryError. The Authorization header goes to the registry's own origin and nowhere else.
 */
export class HostClient {
  readonly clock: Clock
  readonly retryPolicy: RetryPolicy
  readonly #options: HostClientOptions
  readonly #authorizer: Authorizer
  readonly #limits: Readonly<Record<HostRequest['lane'], LimitFunction>>
  readonly #notices = new Set<string>()
  #baseUrl: URL
  #firstContact: Promise<void> | undefined
  #isContacted = false
  /** Since this client began. */
  #hasAnswered = false

  constructor(options: HostClientOptions) {
    const { endpoint, transport, source, clock } = options
    this.#options = options
    this.clock = clock
    this.retryPolicy = options.retryPolicy
    this.#baseUrl = endpoint.baseUrl
    this.#authorizer = new Authorizer({
      registry: endpoint.registry,
      baseUrl: () => this.#baseUrl,
      source,
      fetcher: { transport, clock },
    })
    this.#limits = {
      call: pLimit(CALLS_AT_ONCE),
      download: pLimit(BLOBS_AT_ONCE),
      upload: pLimit(BLOBS_AT_ONCE),
      growing: pLimit(GROWING_AT_ONCE),
    }
  }

  /** The registry's name, as in references. */
  get registry(): string {
    return this.#options.endpoint.registry
  }

  /** A small call with retries (features row R36). */
  call<T>(
    request: HostRequest,
    signal: AbortSignal,
    read: (response: HttpResponse) => Promise<T>,
  ): Promise<T> {
    const { clock, retryPolicy: policy } = this
    const patience = { clock, policy, signal, patienceMs: CALL_PATIENCE_MS }
    return retrying(patience, () => this.exchange(request, signal, read))
  }

  /**
   * Sends once and gives the response to `read`, which takes what it wants of the body. The place
   * in the lane is given back when `read` is done, so the number of open bodies is limited, not
   * only that of requests.
   */
  exchange<T>(
    request: HostRequest,
    signal: AbortSignal,
    read: (response: HttpResponse) => Promise<T>,
  ): Promise<T> {
    return this.#limits[request.lane](async () => {
      signal.throwIfAborted()
      const deadline = request.lane === 'call' ? AbortSignal.timeout(CALL_TIMEOUT_MS) : undefined
      const both = deadline === undefined ? signal : AbortSignal.any([signal, deadline])
      try {
        const response = await this.#authorized(request, both)
        try {
          return await read(response)
        } finally {
          await discard(response)
        }
      } catch (error) {
        signal.throwIfAborted()
        if (deadline?.aborted !== true) throw this.#hasAnswered ? afterAnswers(error) : error
        const { host } = this.#baseUrl
        throw new RegistryError(
          'timeout',
          `${host}: no whole answer in ${CALL_TIMEOUT_MS / 1000} s`,
          { host, cause: error },
        )
      }
    })
  }

  /**
   * Requests that start together wait for the first to learn what the registry wants, instead of
   * all being refused.
   */
  async #authorized(request: HostRequest, signal: AbortSignal): Promise<HttpResponse> {
    if (this.#isContacted) return this.#send(request, signal)
    if (this.#firstContact !== undefined) {
      await orAborted(this.#firstContact, signal)
      return this.#send(request, signal)
    }
    let finish = (): void => undefined
    this.#firstContact = new Promise((resolve) => {
      finish = resolve
    })
    try {
      return await this.#sendFirst(request, signal)
    } finally {
      this.#isContacted = true
      finish()
    }
  }

  /**
   * Registries named as insecure may speak plain http, those on loopback TLS: found out once
   * (features row R5). When the other protocol is not there either, nothing was learned.
   */
  async #sendFirst(request: HostRequest, signal: AbortSignal): Promise<HttpResponse> {
    const { fallbackUrl } = this.#options.endpoint
    try {
      return await this.#send(request, signal)
    } catch (error) {
      if (
        fallbackUrl === undefined ||
        !isOtherProtocol(error) ||
        typeof request.target !== 'string'
      )
        throw error
      const firstUrl = this.#baseUrl
      this.#baseUrl = fallbackUrl
      return await this.#send(request, signal).catch((second: unknown) => {
        if (!isOtherProtocol(second)) throw second
        this.#baseUrl = firstUrl
        throw error
      })
    }
  }

  async #send(request: HostRequest, signal: AbortSignal): Promise<HttpResponse> {
    const { access } = request
    let authorization = await this.#authorizer.header(access, signal)
    for (let sends = 1; ; sends += 1) {
      const response = await this.#followed(request, authorization, signal)
      this.#showWarning(response)
      if (request.expect.includes(response.status)) return response
      const isOwn = response.url.origin === this.#baseUrl.origin
      if (response.status !== 401 || !isOwn || sends === SENDS_PER_EXCHANGE)
        throw await this.#failure(request, response, signal)
      const challenges = parseChallenges(response.header('www-authenticate'))
      const better = await this.#authorizer
        .answer(challenges, authorization, access, signal)
        .catch(async (error) => {
          await discard(response)
          throw error
        })
      if (better === undefined) throw await this.#failure(request, response, signal)
      await discard(response)
      authorization = better
    }
  }

  async #followed(
    request: HostRequest,
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    let url = typeof request.target === 'string' ? this.#urlOf(request.target) : request.target
    for (let redirects = 0; ; redirects += 1) {
      const isOwn = url.origin === this.#baseUrl.origin
      const response = await this.#options.transport.send(
        httpRequest(request, url, {
          ...(isOwn ? this.#options.endpoint.headers : {}),
          ...(isOwn && authorization !== undefined ? { authorization } : {}),
        }),
        {
          signal,
          isForeign: url.hostname !== this.#baseUrl.hostname,
        },
      )
      this.#hasAnswered = true
      if (!isRedirect(request.method, response) || request.expect.includes(response.status))
        return response
      await discard(response)
      if (redirects === REDIRECTS_MAX) {
        const { host } = this.#baseUrl
        throw new RegistryError(
          'bad-response',
          `${host} redirected more than ${REDIRECTS_MAX} times`,
          { host },
        )
      }
      url = locationOf(response)
    }
  }

  #urlOf(target: string): URL {
    const { namespace } = this.#options.endpoint
    const url = new URL(target, this.#baseUrl)
    if (namespace !== undefined) url.searchParams.set('ns', namespace)
    return url
  }

  async #failure(
    request: HostRequest,
    response: HttpResponse,
    signal: AbortSignal,
  ): Promise<RegistryError> {
    const options = { clock: this.clock, secrets: this.#authorizer.secrets }
    if (
      request.method === 'HEAD' &&
      SILENT_REFUSALS.has(response.status) &&
      typeof request.target === 'string'
    ) {
      // A HEAD has no body to say why; the same GET does.
      await discard(response)
      const authorization = await this.#authorizer.header(request.access, signal)
      const same = await this.#followed({ ...request, method: 'GET' }, authorization, signal)
      if (same.status >= 400) return responseError(same, options)
      await discard(same)
    }
    const error = await responseError(response, options)
    if (error.code !== 'unauthorized') return error
    const isKnown = await this.#authorizer.hasCredentials(request.access, signal)
    const advice = isKnown
      ? 'the credentials were refused'
      : `no credentials are stored; if it needs a login: tsbuild login ${this.registry}`
    return restated(error, `${error.reason}; ${advice}`)
  }

  /** `Warning: 299 - "text"`, each text once (distribution-spec, "Warnings"). */
  #showWarning(response: HttpResponse): void {
    const text = /^299 \S+ "((?:[^"\\]|\\.)*)"/.exec(response.header('warning') ?? '')?.[1]
    if (text === undefined || this.#notices.has(text) || this.#notices.size > 100) return
    this.#notices.add(text)
    this.#options.onNotice(`${this.registry} warns: ${redactText(text, this.#authorizer.secrets)}`)
  }
}

/** Failures of a server that speaks TLS where we did not, or the other way round. */
function isOtherProtocol(error: unknown): boolean {
  return (
    error instanceof RegistryError &&
    (error.code === 'tls-failed' || error.code === 'registry-unreachable')
  )
}

/** At first these mean a wrong address; where somebody answered a moment ago, a restart. */
const NOBODY_THERE = new Set(['ECONNREFUSED', 'UND_ERR_CONNECT_TIMEOUT'])

function afterAnswers(error: unknown): unknown {
  if (!(error instanceof RegistryError)) return error
  const { code, cause, reason, host } = error
  const known = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (!NOBODY_THERE.has(known)) return error
  return new RegistryError(code, reason, { host, cause, isTemporary: true })
}

function httpRequest(
  request: HostRequest,
  url: URL,
  more: Readonly<Record<string, string>>,
): HttpRequest {
  return {
    method: request.method,
    url,
    headers: { ...request.headers, ...more },
    body: request.body,
  }
}
