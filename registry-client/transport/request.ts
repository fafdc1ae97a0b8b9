import { Readable } from 'node:stream'
import { createSecureContext } from 'node:tls'
import type { Dispatcher } from 'undici'
import { RegistryError, worthAnother } from '../errors.ts'
import { AnswerDeadline } from './answer-deadline.ts'
import { isInsecure } from './endpoint.ts'
import { describeConnectionError, hostBy } from './failure.ts'
import { forbiddenTarget, guardedLookup, isForbiddenAddress } from './forbidden-address.ts'
import type { HttpRequest, HttpResponse } from './http-message.ts'
import { orAborted } from './or-aborted.ts'
import { type Environment, proxyFor } from './proxy.ts'
import { certificateName, type CertificateStore } from './tls.ts'

/** Nothing waits for ever: each of these ends in RegistryError `timeout`. */
export interface TransportTimeouts {
  readonly connectMs: number
  /** From the last byte sent to the first received. */
  readonly answerMs: number
  /** The same after an upload: registries hash and move a whole blob before they answer its PUT. */
  readonly storeMs: number
  /** Between two pieces of a body. */
  readonly bodyIdleMs: number
}

export const DEFAULT_TIMEOUTS: TransportTimeouts = {
  connectMs: 30_000,
  answerMs: 60_000,
  storeMs: 300_000,
  bodyIdleMs: 60_000,
}

/** undici's timers may come a second late; ours is not to come before them. */
const TIMER_SLACK_MS = 2000

export interface TransportOptions {
  readonly env: Environment
  readonly certificates: CertificateStore
  readonly insecureRegistries: readonly string[]
  readonly userAgent: string
  readonly timeouts: TransportTimeouts
}

/**
 * Sends single HTTP/1.1 requests: no redirects, no authentication, no retries. HTTP/2 stays off
 * because its flow control slows uploads (features row R8). undici is loaded with the first
 * request: it costs more than all other modules together, and most commands never speak to a
 * registry.
 */
export class HttpTransport implements AsyncDisposable {
  readonly #options: TransportOptions
  readonly #dispatchers = new Map<string, Promise<Dispatcher>>()
  /** Origins that were sent a HEAD over a connection that stayed open. */
  readonly #keptAfterHead = new Set<string>()
  /** Origins that answer a HEAD with a body, which nobody can tell from the next answer. */
  readonly #closedAfterHead = new Set<string>()

  constructor(options: TransportOptions) {
    this.#options = options
  }

  /**
   * `isForeign`: the URL was chosen by a server (a redirect, a token realm), not by the user;
   * link-local and metadata addresses are then refused, also when a name resolves to one. A
   * connection that fails is a RegistryError of the code that fits.
   */
  async send(
    request: HttpRequest,
    options: { readonly signal: AbortSignal; readonly isForeign: boolean },
  ): Promise<HttpResponse> {
    const { signal } = options
    signal.throwIfAborted()
    const { url } = request
    if (options.isForeign && isForbiddenAddress(url.hostname)) throw forbiddenTarget(url.host)
    const dispatcher = await this.#dispatcherFor(url, options.isForeign)
    const answerMs = this.#answerTimeoutMs(request)
    const { certificates, env, timeouts } = this.#options
    const proxy = proxyFor(url, env)
    // undici's own limit begins anew with every 1xx answer.
    const afterMs = timeouts.connectMs + answerMs + TIMER_SLACK_MS
    using deadline = new AnswerDeadline(hostBy(url, proxy), afterMs)
    const both = AbortSignal.any([signal, deadline.signal])
    try {
      const { default: sendRequest } = await import('undici/lib/api/api-request.js')
      const sent = sendRequest.call(dispatcher, {
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method: request.method,
        headers: {
          'user-agent': this.#options.userAgent,
          'accept-encoding': 'identity',
          ...request.headers,
        },
        body: bodyOf(request, deadline),
        signal: both,
        ...(request.method === 'HEAD' ? { reset: this.#closesAfterHead(url) } : {}),
        // undici counts from the beginning of a body whenever it pauses; `deadline` does not.
        headersTimeout: isOfUnknownLength(request) ? 0 : answerMs,
        bodyTimeout: timeouts.bodyIdleMs,
      })
      // As long as there is no connection undici does not look at the signal.
      const response = await orAborted(sent, both)
      return {
        status: response.statusCode,
        url,
        body: response.body,
        header: (name) => joined(response.headers[name]),
      }
    } catch (error) {
      signal.throwIfAborted()
      deadline.signal.throwIfAborted()
      const hasOwnAuthorities = certificates.hasAuthorities(certificateName(url))
      const described = describeConnectionError(error, url, { proxy, hasOwnAuthorities })
      throw this.#isBodyAfterHead(described, url) ? worthAnother(described) : described
    }
  }

  /**
   * undici closes the connection behind every HEAD, for servers that send a body with the answer: a handshake more for
   * each blob that is asked about. We do so only where such a server was met.
   */
  #closesAfterHead({ origin }: URL): boolean {
    this.#keptAfterHead.add(origin)
    return this.#closedAfterHead.has(origin)
  }

  /** Nothing that can be read came, from a server that may have sent a body before. */
  #isBodyAfterHead(error: unknown, { origin }: URL): error is RegistryError {
    if (!(error instanceof RegistryError) || error.code !== 'bad-response') return false
    if (!this.#keptAfterHead.has(origin) || this.#closedAfterHead.has(origin)) return false
    this.#closedAfterHead.add(origin)
    return true
  }

  #answerTimeoutMs({ method }: HttpRequest): number {
    const { answerMs, storeMs } = this.#options.timeouts
    return method === 'PUT' || method === 'PATCH' ? storeMs : answerMs
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const dispatchers = await Promise.all(this.#dispatchers.values())
    this.#dispatchers.clear()
    await Promise.all(dispatchers.map((dispatcher) => dispatcher.destroy(ended())))
  }

  #dispatcherFor(url: URL, isForeign: boolean): Promise<Dispatcher> {
    const key = `${url.origin} ${isForeign}`
    const known = this.#dispatchers.get(key)
    if (known !== undefined) return known
    const made = this.#makeDispatcher(url, isForeign)
    this.#dispatchers.set(key, made)
    // A failure is a broken configuration file: the next request shall read it again, and disposal
    // has nothing to end.
    made.catch(() => this.#dispatchers.delete(key))
    return made
  }

  async #makeDispatcher(url: URL, isForeign: boolean): Promise<Dispatcher> {
    const proxy = proxyFor(url, this.#options.env)
    const timeout = this.#options.timeouts.connectMs
    const tls = url.protocol === 'https:' ? this.#tlsOptions(url) : {}
    if (proxy === undefined) {
      const { default: Agent } = await import('undici/lib/dispatcher/agent.js')
      return new Agent({
        connect: { ...tls, timeout, ...(isForeign ? { lookup: guardedLookup } : {}) },
      })
    }
    const hasCredentials = proxy.username !== ''
    const credentials = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`
    const proxyTls = proxy.protocol === 'https:' ? this.#tlsOptions(proxy) : {}
    // Its tunnels need the whole of undici; nobody behind a proxy counts the milliseconds.
    const { default: undici } = await import('undici')
    return new undici.ProxyAgent({
      uri: proxy.origin,
      ...(hasCredentials ? { token: `Basic ${Buffer.from(credentials).toString('base64')}` } : {}),
      requestTls: { ...tls, timeout },
      proxyTls: { ...proxyTls, timeout },
      // Plain http is sent to the proxy in its absolute form: many refuse CONNECT to port 80.
      proxyTunnel: url.protocol === 'https:',
      // Else a tunnel would be waited for as long as undici thinks right.
      clientFactory: (origin, options) =>
        new undici.Pool(origin, { ...options, headersTimeout: timeout }),
    })
  }

  #tlsOptions(url: URL): {
    secureContext: ReturnType<typeof createSecureContext>
    rejectUnauthorized: boolean
  } {
    const settings = this.#options.certificates.settingsFor(certificateName(url))
    try {
      const secureContext = createSecureContext(settings)
      return {
        secureContext,
        rejectUnauthorized: !isInsecure(url.host, this.#options.insecureRegistries),
      }
    } catch (cause) {
      throw new RegistryError(
        'bad-configuration',
        `the certificates for ${url.host} are not usable`,
        { host: url.host, cause },
      )
    }
  }
}

/** Node reads the stack of an error that ends a socket; to write one takes milliseconds, and nobody sees this. */
function ended(): Error {
  const error = new RegistryError('registry-unreachable', 'the client was disposed of')
  error.stack = error.message
  return error
}

function bodyOf(request: HttpRequest, deadline: AnswerDeadline): Uint8Array | Readable | null {
  if (request.body?.kind !== 'stream') {
    deadline.start()
    return request.body?.bytes ?? null
  }
  return Readable.from(deadline.startedBy(request.body.open()), { objectMode: false })
}

function isOfUnknownLength({ body }: HttpRequest): boolean {
  return body?.kind === 'stream' && body.sizeBytes === undefined
}

function joined(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'object' ? value.join(', ') : value
}
