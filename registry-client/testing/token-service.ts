import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { TEST_SERVER_CERT, TEST_SERVER_KEY } from './certificates.ts'

/** Clocks may differ by this much, says distribution: it takes tokens so long after their end. */
const LEEWAY_SEC = 60

/** Who may do what: a Harbor robot of a project, or a user. */
export interface TokenAccount {
  readonly username: string
  readonly password: string
  /** Rights by project, the first part of a repository's name. Harbor: who may push may pull. */
  readonly rights: Readonly<Record<string, readonly ('pull' | 'push' | 'delete')[]>>
}

export interface IssuedTo {
  readonly account: string | undefined
  readonly scopes: readonly string[]
}

/**
 * A token service for docker-registry that behaves as Harbor's: rights by project, anonymous tokens
 * for projects that are public, scopes that an account does not have are left out without a word,
 * and `expires_in` promises more than the token holds when a test says so.
 */
export class TokenService implements AsyncDisposable {
  static readonly issuer: string = 'tsbuild-test'
  static readonly service: string = 'harbor-registry'
  /** What was given out, in order. */
  readonly issued: IssuedTo[] = []
  /** How long the registry takes tokens that are made from now on; clients are told 30 minutes. */
  lifetimeSec: number = 1800
  readonly #accounts: readonly TokenAccount[]
  readonly #publicProjects: readonly string[]
  readonly #server: Server

  private constructor(accounts: readonly TokenAccount[], publicProjects: readonly string[]) {
    this.#accounts = accounts
    this.#publicProjects = publicProjects
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch((error: unknown) => {
        response.destroy(error instanceof Error ? error : undefined)
      })
    })
  }

  static async start(options: {
    readonly accounts: readonly TokenAccount[]
    readonly publicProjects?: readonly string[]
  }): Promise<TokenService> {
    const service = new TokenService(options.accounts, options.publicProjects ?? [])
    await new Promise<void>((resolve) => service.#server.listen(0, '127.0.0.1', resolve))
    return service
  }

  get realm(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/service/token`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://service')
    const isPost = request.method === 'POST'
    const parameters = isPost ? new URLSearchParams(await text(request)) : url.searchParams
    const credentials = isPost
      ? [parameters.get('username') ?? '', parameters.get('password') ?? '']
      : readBasic(request.headers.authorization)
    const account = this.#accounts.find(
      ({ username, password }) => username === credentials?.[0] && password === credentials[1],
    )
    if (credentials !== undefined && account === undefined) {
      response.writeHead(401, { 'content-type': 'application/json' })
      response.end(JSON.stringify(UNAUTHORIZED))
      return
    }
    const scopes = parameters.getAll('scope').flatMap((scope) => scope.split(' '))
    this.issued.push({ account: account?.username, scopes })
    const token = this.#token(account, scopes)
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ token, access_token: '', expires_in: 1800 }))
  }

  #token(account: TokenAccount | undefined, scopes: readonly string[]): string {
    const nowSec = Math.floor(Date.now() / 1000)
    const header = { typ: 'JWT', alg: 'ES256', x5c: [certificateBase64()] }
    const claims = {
      iss: TokenService.issuer,
      aud: TokenService.service,
      sub: account?.username ?? '',
      jti: randomUUID(),
      iat: nowSec - 2 * LEEWAY_SEC,
      nbf: nowSec - 2 * LEEWAY_SEC,
      exp: nowSec + this.lifetimeSec - LEEWAY_SEC,
      access: scopes.flatMap((scope) => this.#accessFor(account, scope)),
    }
    const content = `${encode(header)}.${encode(claims)}`
    const key = { key: createPrivateKey(TEST_SERVER_KEY), dsaEncoding: 'ieee-p1363' as const }
    return `${content}.${sign('sha256', Buffer.from(content), key).toString('base64url')}`
  }

  #accessFor(account: TokenAccount | undefined, scope: string): object[] {
    const [, name = '', wanted = ''] = /^repository:(.+):([^:]*)$/.exec(scope) ?? []
    const project = name.split('/', 1)[0] ?? ''
    const rights = new Set<string>(account?.rights[project])
    if (rights.has('push') || this.#publicProjects.includes(project)) rights.add('pull')
    const actions = wanted.split(',').filter((action) => rights.has(action))
    return actions.length === 0 ? [] : [{ type: 'repository', name, actions }]
  }
}

const UNAUTHORIZED = {
  errors: [{ code: 'UNAUTHORIZED', message: 'unauthorized: authentication required' }],
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}

function certificateBase64(): string {
  return new X509Certificate(TEST_SERVER_CERT).raw.toString('base64')
}

function readBasic(header: string | undefined): [string, string] | undefined {
  if (header === undefined) return undefined
  const decoded = Buffer.from(header.replace(/^Basic /, ''), 'base64').toString('utf8')
  const colon = decoded.indexOf(':')
  return [decoded.slice(0, colon), decoded.slice(colon + 1)]
}
