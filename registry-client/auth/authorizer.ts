import { RegistryError } from '../errors.ts'
import { isLoopbackName } from '../transport/endpoint.ts'
import { redactUrl } from '../transport/redact.ts'
import type { Challenge } from './challenge.ts'
import {
  basicAuthorization,
  type Credentials,
  type CredentialSource,
  secretsOf,
} from './credentials.ts'
import { formatScopes, parseScopes, type Scope } from './scope.ts'
import { SharedValues } from './shared-values.ts'
import { type AccessToken, fetchToken, type TokenFetcher } from './token.ts'

/** What a registry was found to want. */
type Demand =
  | { readonly kind: 'basic' }
  | { readonly kind: 'bearer'; readonly realm: URL; readonly service: string | undefined }

/** What a source said, which may be that there are none. */
interface FoundCredentials {
  readonly credentials: Credentials | undefined
  readonly renewAtMs: number
}

/** Helpers give logins that end: after this time they are asked again, as BuildKit does (features row R30). */
const CREDENTIALS_MS = 290_000
/** A registry that wants ever more rights does not get them all. */
const WIDER_SCOPES_MAX = 8

/**
 * Who asks for what: the rights needed, and the repository by which path-scoped credentials are
 * chosen.
 */
export interface Access {
  readonly repository: string | undefined
  readonly scopes: readonly Scope[]
}

/**
 * Authorization for one registry. Nothing is sent before the registry asked (features row R20);
 * what it asked for is remembered, so that only the first request is refused. Tokens are kept per
 * set of rights until shortly before they expire, and fetched once when several requests need them
 * at the same time.
 */
export class Authorizer {
  readonly #registry: string
  readonly #baseUrl: () => URL
  readonly #source: CredentialSource
  readonly #fetcher: TokenFetcher
  readonly #tokens: SharedValues<AccessToken>
  readonly #credentials: SharedValues<FoundCredentials>
  readonly #secrets = new Set<string>()
  readonly #wider = new Map<string, readonly Scope[]>()
  #demand: Demand | undefined

  constructor(options: {
    /** As references name it. */
    readonly registry: string
    /** Where it answers now: plain http, when an insecure registry turned out to have no TLS. */
    readonly baseUrl: () => URL
    readonly source: CredentialSource
    readonly fetcher: TokenFetcher
  }) {
    this.#registry = options.registry
    this.#baseUrl = options.baseUrl
    this.#source = options.source
    this.#fetcher = options.fetcher
    const now = (): number => options.fetcher.clock.now()
    this.#tokens = new SharedValues(now)
    this.#credentials = new SharedValues(now)
  }

  /** Everything that was sent and must not be shown. */
  get secrets(): string[] {
    return [...this.#secrets]
  }

  /** The header to send with a request for `access`; undefined for none. */
  async header(access: Access, signal: AbortSignal): Promise<string | undefined> {
    if (this.#demand === undefined) return undefined
    return this.#headerFor(this.#demand, access, signal)
  }

  /**
   * What to send instead after a 401 to `refused`; undefined when we have nothing better. A token
   * that was refused is not used again, and a new one covers the scopes of the challenge too
   * (features row R23).
   */
  async answer(
    challenges: readonly Challenge[],
    refused: string | undefined,
    access: Access,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const bearer = challenges.find(
      ({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'),
    )
    const basic = challenges.find(({ scheme }) => scheme === 'basic')
    if (bearer === undefined && basic === undefined) return undefined
    this.#demand = bearer === undefined ? { kind: 'basic' } : this.#bearerDemand(bearer)
    const asked = parseScopes(bearer?.parameters.get('scope'))
    const merged = formatScopes([...access.scopes, ...asked])
    if (merged.join() !== formatScopes(access.scopes).join()) this.#widen(access, asked)
    await this.#tokens.forget(({ value }) => refused === `Bearer ${value}`)
    const header = await this.#headerFor(this.#demand, access, signal)
    return header === refused ? undefined : header
  }

  /** Whether credentials are known for `access`; decides what an error advises. */
  async hasCredentials(access: Access, signal: AbortSignal): Promise<boolean> {
    return (await this.#credentialsFor(access, signal)) !== undefined
  }

  async #headerFor(
    demand: Demand,
    access: Access,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const credentials = await this.#credentialsFor(access, signal)
    if (credentials?.kind === 'registry-token') return `Bearer ${credentials.token}`
    if (demand.kind === 'basic') {
      return credentials?.kind === 'password'
        ? basicAuthorization(credentials.username, credentials.password)
        : undefined
    }
    const scopes = [...access.scopes, ...(this.#wider.get(access.repository ?? '') ?? [])]
    const token = await this.#token(demand, credentials, formatScopes(scopes), signal)
    this.#secrets.add(token.value)
    return `Bearer ${token.value}`
  }

  async #token(
    demand: Extract<Demand, { kind: 'bearer' }>,
    credentials: Credentials | undefined,
    scopes: readonly string[],
    signal: AbortSignal,
  ): Promise<AccessToken> {
    const who = credentials === undefined ? '' : secretsOf(credentials).join(' ')
    const key = JSON.stringify([demand.realm.href, demand.service ?? '', scopes, who])
    const { realm, service } = demand
    const isForeign = realm.hostname !== this.#baseUrl().hostname
    const registry = this.#registry
    const question = { realm, registry, service, scopes, credentials, isForeign }
    return this.#tokens.get(key, signal, () => fetchToken(this.#fetcher, question, signal))
  }

  /**
   * Rights that the registry turned out to want for this repository, beyond those of the
   * specification.
   */
  #widen(access: Access, scopes: readonly Scope[]): void {
    const key = access.repository ?? ''
    const wider = formatScopes([...access.scopes, ...(this.#wider.get(key) ?? []), ...scopes])
    if (wider.length <= WIDER_SCOPES_MAX) this.#wider.set(key, parseScopes(wider.join(' ')))
  }

  async #credentialsFor(access: Access, signal: AbortSignal): Promise<Credentials | undefined> {
    const { repository } = access
    const found = await this.#credentials.get(repository ?? '', signal, async () => {
      const credentials = await this.#source.find(this.#registry, repository, signal)
      for (const secret of secretsOf(credentials)) this.#secrets.add(secret)
      return { credentials, renewAtMs: this.#fetcher.clock.now() + CREDENTIALS_MS }
    })
    return found.credentials
  }

  /**
   * A registry may send us to a token server on another host (Docker Hub does), which then gets the
   * credentials for this registry: no more than the registry could have had by asking for Basic.
   * But never over a line that others can read.
   */
  #bearerDemand(challenge: Challenge): Demand {
    const text = challenge.parameters.get('realm') ?? ''
    const base = this.#baseUrl()
    const { host } = base
    if (!URL.canParse(text, base.href))
      throw new RegistryError('bad-response', `${host} names a token server that is not a URL`, {
        host,
      })
    const realm = new URL(text, base)
    const isSecure = realm.protocol === 'https:'
    const isAsOpen =
      realm.protocol === 'http:' && (base.protocol === 'http:' || isLoopbackName(realm.hostname))
    if (!isSecure && !isAsOpen) {
      const reason = `${host} names the token server ${redactUrl(realm)}: credentials are not sent there without TLS`
      throw new RegistryError('bad-response', reason, { host })
    }
    return { kind: 'bearer', realm, service: challenge.parameters.get('service') }
  }
}
