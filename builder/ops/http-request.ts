import { once } from 'node:events'
import { request as requestHttp, type ClientRequest, type IncomingMessage } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { errnoOf } from '../../snapshotter/index.ts'
import { CopyError } from './copy-errors.ts'

const REDIRECTS_MAX = 10
/** Silence of a server after which a download is given up. */
const IDLE_TIMEOUT_MS = 60_000
const PROXY_NAMES = ['HTTP_PROXY', 'HTTPS_PROXY']

export interface UrlRequest {
  readonly url: string
  /** Sent to the first host only, never to where it redirects. */
  readonly headers?: Readonly<Record<string, string>>
}

export interface UrlOptions {
  /** HTTP_PROXY, HTTPS_PROXY and NO_PROXY are taken from it. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
}

/** GET, through the proxy that the environment names; redirects are followed. `etag` asks for 304 when nothing changed. */
export async function openUrl(
  request: UrlRequest,
  etag: string | undefined,
  options: UrlOptions,
): Promise<IncomingMessage> {
  let url = parseUrl(request.url, request.url)
  const { origin } = url
  for (let count = 0; count <= REDIRECTS_MAX; count += 1) {
    const headers: Record<string, string> = {
      'user-agent': 'tsbuild',
      ...(etag === undefined ? {} : { 'if-none-match': etag }),
      ...(url.origin === origin ? request.headers : {}),
    }
    const response = await get(url, headers, request.url, options)
    const { location } = response.headers
    if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || location === undefined) {
      return response
    }
    response.resume()
    url = parseUrl(location, request.url, url)
  }
  throw downloadFailed(request.url, `more than ${REDIRECTS_MAX} redirects`)
}

async function get(
  url: URL,
  headers: Readonly<Record<string, string>>,
  shownUrl: string,
  options: UrlOptions,
): Promise<IncomingMessage> {
  try {
    const proxy = await proxyOf(url, options.env)
    const sent =
      proxy === undefined
        ? direct(url, headers, options)
        : await proxied(url, headers, proxy, options)
    sent.end()
    const [response]: IncomingMessage[] = await once(sent, 'response')
    if (response === undefined) {
      throw new Error('no response')
    }
    return response
  } catch (error) {
    options.signal.throwIfAborted()
    throw downloadFailed(shownUrl, messageOf(error), error)
  }
}

/** The rules are those for registries; their module is loaded when there is a proxy at all. */
async function proxyOf(url: URL, env: UrlOptions['env']): Promise<URL | undefined> {
  if (!PROXY_NAMES.some((name) => env[name] || env[name.toLowerCase()])) {
    return undefined
  }
  const { proxyFor } = await import('../../registry-client/index.ts')
  return proxyFor(url, env)
}

function direct(
  url: URL,
  headers: Readonly<Record<string, string>>,
  { signal }: UrlOptions,
  socket?: Socket,
): ClientRequest {
  const send = url.protocol === 'https:' ? requestHttps : requestHttp
  const tunnel =
    socket === undefined
      ? {}
      : {
          agent: false,
          createConnection: () =>
            connectTls({
              socket,
              ...(isIP(url.hostname) === 0 ? { servername: url.hostname } : {}),
            }),
        }
  return withTimeout(send(url, { headers, signal, timeout: IDLE_TIMEOUT_MS, ...tunnel }))
}

/** A proxy is asked for an http URL itself; for https it connects, and sees nothing of what is said. */
async function proxied(
  url: URL,
  headers: Readonly<Record<string, string>>,
  proxy: URL,
  options: UrlOptions,
): Promise<ClientRequest> {
  const ask = proxy.protocol === 'https:' ? requestHttps : requestHttp
  const { username, password } = proxy
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  const authorization =
    username === ''
      ? {}
      : { 'proxy-authorization': `Basic ${Buffer.from(login).toString('base64')}` }
  const { signal } = options
  const target = { signal, timeout: IDLE_TIMEOUT_MS, agent: false } as const
  if (url.protocol === 'http:') {
    const own = { ...headers, host: url.host, ...authorization }
    return withTimeout(ask(new URL(proxy.origin), { ...target, path: url.href, headers: own }))
  }
  const path = `${url.hostname}:${url.port === '' ? 443 : url.port}`
  const connecting = withTimeout(
    ask(new URL(proxy.origin), {
      ...target,
      method: 'CONNECT',
      path,
      headers: { host: path, ...authorization },
    }),
  )
  connecting.end()
  const [response, socket]: [IncomingMessage, Socket] = await connected(connecting)
  if (response.statusCode !== 200) {
    socket.destroy()
    throw new Error(`the proxy ${proxy.host} answered ${response.statusCode}`)
  }
  return direct(url, headers, options, socket)
}

function connected(request: ClientRequest): Promise<[IncomingMessage, Socket]> {
  return new Promise((resolve, reject) => {
    request.once('error', reject)
    request.once('connect', (response: IncomingMessage, socket: Socket) => {
      resolve([response, socket])
    })
  })
}

function withTimeout(request: ClientRequest): ClientRequest {
  return request.on('timeout', () => request.destroy(new Error('the server does not answer')))
}

function parseUrl(text: string, shownUrl: string, base?: URL): URL {
  const url = URL.parse(text, base?.href)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw downloadFailed(shownUrl, `${JSON.stringify(redactUrl(text))} is not an http or https URL`)
  }
  return url
}

/** The error `download-failed`, with the URL as it may be shown. */
export function downloadFailed(url: string, reason: string, cause?: unknown): CopyError {
  return new CopyError('download-failed', `could not download ${redactUrl(url)}: ${reason}`, {
    cause,
  })
}

export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) {
    return String(error)
  }
  // A failed connection to several addresses has an empty message of its own.
  return error.message === '' ? (errnoOf(error) ?? '') : error.message
}

/** A URL as it may be shown: without password and query, which can hold tokens. */
export function redactUrl(text: string): string {
  return text.replace(/\/\/[^/@\s]*@/, '//xxxxx@').replace(/\?[^#]*/, '?...')
}
