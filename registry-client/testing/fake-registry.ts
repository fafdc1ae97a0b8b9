import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { FakeApi, type FakeAnswer } from './fake-api.ts'
import { type FakeAuth, FakeGate } from './fake-auth.ts'
import { Script, type ScriptAct, type ScriptStep } from './fake-script.ts'
import { FakeRepository } from './fake-store.ts'
import { FakeUploads } from './fake-uploads.ts'

export type { FakeAuth } from './fake-auth.ts'
export type { ScriptAct, ScriptStep } from './fake-script.ts'
export { type FakeImage, FakeRepository } from './fake-store.ts'

export interface FakeRegistryOptions {
  readonly auth?: FakeAuth
  /** Speaks TLS with these, PEM. */
  readonly tls?: { readonly key: string; readonly cert: string; readonly ca?: string }
  /** Locations are absolute with this origin; default: relative, as many registries have them. */
  readonly locationOrigin?: string
  readonly pageSizeMax?: number
  /** Larger request bodies are answered 413, as by a proxy in front. */
  readonly bodyBytesMax?: number
  /** Serves the referrers API. */
  readonly hasReferrers?: boolean
}

/** A request as it came. */
export interface RecordedRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly status: () => number | undefined
}

/**
 * A registry inside the test: it does what the distribution specification says on a free loopback
 * port, holds everything in memory, records every request, and misbehaves as `script` tells it to.
 */
export class FakeRegistry implements AsyncDisposable {
  readonly requests: RecordedRequest[] = []
  readonly repositories: Map<string, FakeRepository> = new Map()
  readonly uploads: FakeUploads = new FakeUploads()
  readonly gate: FakeGate
  /** How often a client connected. */
  connectionCount: number = 0
  readonly #script = new Script()
  readonly #arrivals = new EventEmitter()
  readonly #server: Server
  readonly #options: FakeRegistryOptions
  readonly #api: FakeApi

  private constructor(options: FakeRegistryOptions) {
    this.#options = options
    this.gate = new FakeGate(options.auth ?? { kind: 'none' })
    this.#api = new FakeApi({
      repositories: this.repositories,
      uploads: this.uploads,
      repository: (name) => this.repository(name),
      locationOrigin: options.locationOrigin ?? '',
      pageSizeMax: options.pageSizeMax ?? 1000,
      hasReferrers: options.hasReferrers === true,
    })
    const handle = (request: IncomingMessage, response: ServerResponse): void => {
      this.#handle(request, response).catch((error: unknown) => {
        // The client went away in the middle, or the test ended: there is nobody to tell.
        response.destroy(error instanceof Error ? error : undefined)
      })
    }
    this.#server =
      options.tls === undefined
        ? createServer(handle)
        : createTlsServer({ ...options.tls, requestCert: options.tls.ca !== undefined }, handle)
    this.#server.on('connection', () => {
      this.connectionCount += 1
    })
  }

  static async start(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
    const registry = new FakeRegistry(options)
    await new Promise<void>((resolve) => registry.#server.listen(0, '127.0.0.1', resolve))
    return registry
  }

  /** `127.0.0.1:PORT`. */
  get host(): string {
    return `127.0.0.1:${this.port}`
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  repository(name: string): FakeRepository {
    const repository = this.repositories.get(name) ?? new FakeRepository()
    this.repositories.set(name, repository)
    return repository
  }

  /**
   * From now on the next request that fits meets this act. Steps are used up in the order in which
   * they were added.
   */
  script(step: ScriptStep): void {
    this.#script.add(step)
  }

  /** Resolves when a request with this method has come; its body may still be on its way. */
  async requested(method: string): Promise<void> {
    if (this.requests.some((request) => request.method === method)) return
    await once(this.#arrivals, method)
  }

  /** Forgets all steps that were not used up. */
  unscript(): void {
    this.#script.clear()
  }

  /** `GET /v2/…` of all requests so far, for assertions. */
  get requestLines(): string[] {
    return this.requests.map(({ method, path }) => `${method} ${path}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = request.method ?? 'GET'
    const path = request.url ?? '/'
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
    )
    const status = (): number | undefined =>
      response.headersSent ? response.statusCode : undefined
    this.requests.push({ method, path, headers, status })
    this.#arrivals.emit(method)
    const act = this.#script.take({ method, path })
    if (act?.kind === 'hang') return
    if (act?.kind === 'ignore-range') delete request.headers.range
    if (act?.kind === 'reply') {
      request.resume()
      response.writeHead(act.status, act.headers).end(act.body)
      return
    }
    const url = new URL(path, 'http://fake')
    if (url.pathname === '/token') return this.#token(request, response, url)
    const answer = await this.#answer(request, url, act)
    if (answer === 'gone') return
    await send(response, method, changed(answer, act), act)
  }

  async #answer(
    request: IncomingMessage,
    url: URL,
    act: ScriptAct | undefined,
  ): Promise<FakeAnswer | 'gone'> {
    const method = request.method ?? 'GET'
    const refusal = this.gate.refusal(
      request.headers.authorization,
      this.#api.needOf(method, url.pathname),
      this.host,
    )
    const bytesMax = this.#options.bodyBytesMax ?? Number.POSITIVE_INFINITY
    if (refusal !== undefined) {
      request.resume()
      return complaint(401, 'UNAUTHORIZED', 'authentication required', {
        'www-authenticate': refusal,
      })
    }
    if (Number(request.headers['content-length'] ?? 0) > bytesMax) {
      request.resume()
      return TOO_LARGE
    }
    const body = await readBody(request, act?.kind === 'cut-request' ? act.afterBytes : undefined)
    if (body.bytes.byteLength > bytesMax) return TOO_LARGE
    const answer = this.#api.answer({
      method,
      url,
      headers: request.headers,
      body: body.bytes,
      isWhole: body.isWhole,
    })
    if (body.isWhole) return answer
    request.socket.destroy()
    return 'gone'
  }

  async #token(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const form = new URLSearchParams(request.method === 'POST' ? await text(request) : '')
    const parameters = request.method === 'POST' ? form : url.searchParams
    const reply = this.gate.issue({ authorization: request.headers.authorization, parameters })
    const status = reply === undefined ? 401 : 200
    const body = reply ?? { errors: [{ code: 'UNAUTHORIZED', message: 'bad credentials' }] }
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }
}

const TOO_LARGE: FakeAnswer = {
  status: 413,
  headers: { 'content-type': 'text/html' },
  body: Buffer.from('<html><title>413 Too Large</title></html>'),
}

/** An error in the registry's form. */
export function complaint(
  status: number,
  code: string,
  message: string,
  headers: Record<string, string> = {},
): FakeAnswer {
  const body = Buffer.from(JSON.stringify({ errors: [{ code, message }] }))
  return { status, headers: { 'content-type': 'application/json', ...headers }, body }
}

function changed(answer: FakeAnswer, act: ScriptAct | undefined): FakeAnswer {
  if (act?.kind === 'body')
    return {
      ...answer,
      headers: { ...answer.headers, 'content-length': String(act.bytes.byteLength) },
      body: act.bytes,
    }
  if (act?.kind !== 'headers') return answer
  const headers = Object.entries({ ...answer.headers, ...act.headers }).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  )
  return { ...answer, headers: Object.fromEntries(headers) }
}

async function send(
  response: ServerResponse,
  method: string,
  answer: FakeAnswer,
  act: ScriptAct | undefined,
): Promise<void> {
  const length = answer.headers['content-length'] ?? String(answer.body.byteLength)
  response.writeHead(answer.status, {
    ...answer.headers,
    ...(answer.status === 204 ? {} : { 'content-length': length }),
  })
  if (method === 'HEAD') {
    response.end()
    return
  }
  if (act?.kind !== 'cut-answer') {
    response.end(answer.body)
    return
  }
  response.flushHeaders()
  if (act.afterBytes > 0) {
    await new Promise<void>((resolve) =>
      response.write(answer.body.subarray(0, act.afterBytes), () => resolve()),
    )
  }
  response.socket?.destroySoon()
}

async function readBody(
  request: IncomingMessage,
  bytesMax: number | undefined,
): Promise<{ bytes: Buffer; isWhole: boolean }> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) continue
    chunks.push(chunk)
    size += chunk.byteLength
    if (bytesMax !== undefined && size >= bytesMax)
      return { bytes: Buffer.concat(chunks).subarray(0, bytesMax), isWhole: false }
  }
  return { bytes: Buffer.concat(chunks), isWhole: bytesMax === undefined }
}
