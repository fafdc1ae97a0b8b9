import { randomBytes } from 'node:crypto'

/** Whom a fake registry lets in. */
export type FakeAuth =
  | { readonly kind: 'none' }
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  | {
      readonly kind: 'bearer'
      /** Without, everyone gets tokens. */
      readonly username?: string
      readonly password?: string
      /** An identity token that the OAuth2 form takes. */
      readonly identityToken?: string
      readonly lifetimeSec?: number
      /** Default: this registry's own `/token`. */
      readonly realm?: string
      /**
       * Tokens only ever get these rights, e.g. `repository:app:pull`. Default: what was asked for.
       */
      readonly grants?: readonly string[]
    }

interface IssuedToken {
  readonly scopes: readonly string[]
  usesLeft: number
}

/** What a request needs: `repository:name:action`, or nothing for the base. */
export interface Need {
  readonly repository: string
  readonly action: 'pull' | 'push' | 'delete'
}

/** Decides about the Authorization header, and is the token server. */
export class FakeGate {
  readonly #auth: FakeAuth
  readonly #tokens = new Map<string, IssuedToken>()
  /**
   * Requests that tokens issued from now on are good for; a test's way to let them expire in the
   * middle of something.
   */
  usesPerToken: number = Number.POSITIVE_INFINITY

  constructor(auth: FakeAuth) {
    this.#auth = auth
  }

  /** The WWW-Authenticate header of a refusal; undefined when the request may pass. */
  refusal(
    authorization: string | undefined,
    need: Need | undefined,
    host: string,
  ): string | undefined {
    const auth = this.#auth
    if (auth.kind === 'none') return undefined
    if (auth.kind === 'basic') {
      return authorization === basic(auth.username, auth.password)
        ? undefined
        : 'Basic realm="fake"'
    }
    if (this.#isGood(authorization, need)) return undefined
    const scope =
      need === undefined
        ? ''
        : `,scope="repository:${need.repository}:${need.action === 'push' ? 'pull,push' : need.action}"`
    return `Bearer realm="${auth.realm ?? `http://${host}/token`}",service="fake"${scope}`
  }

  /** Forgets all tokens: the next use of one is refused. */
  revokeAll(): void {
    this.#tokens.clear()
  }

  /** The reply of `/token`; undefined to refuse. */
  issue(question: {
    readonly authorization: string | undefined
    readonly parameters: URLSearchParams
  }): object | undefined {
    const auth = this.#auth
    if (auth.kind !== 'bearer' || !isKnown(auth, question)) return undefined
    const asked = question.parameters.getAll('scope').flatMap((text) => text.split(' '))
    const value = randomBytes(12).toString('hex')
    this.#tokens.set(value, { scopes: auth.grants ?? asked, usesLeft: this.usesPerToken })
    return { token: value, access_token: value, expires_in: auth.lifetimeSec ?? 300 }
  }

  #isGood(authorization: string | undefined, need: Need | undefined): boolean {
    const token = this.#tokens.get(authorization?.replace(/^Bearer /, '') ?? '')
    if (token === undefined || token.usesLeft <= 0) return false
    token.usesLeft -= 1
    if (need === undefined) return true
    return token.scopes.some((scope) => {
      const colon = scope.lastIndexOf(':')
      return (
        scope.slice(0, colon) === `repository:${need.repository}` &&
        scope
          .slice(colon + 1)
          .split(',')
          .includes(need.action)
      )
    })
  }
}

function isKnown(
  auth: Extract<FakeAuth, { kind: 'bearer' }>,
  question: { readonly authorization: string | undefined; readonly parameters: URLSearchParams },
): boolean {
  const { parameters } = question
  if (parameters.get('grant_type') === 'refresh_token') {
    return (
      auth.identityToken !== undefined && parameters.get('refresh_token') === auth.identityToken
    )
  }
  if (auth.username === undefined) return true
  if (parameters.get('grant_type') === 'password') {
    return (
      parameters.get('username') === auth.username && parameters.get('password') === auth.password
    )
  }
  return question.authorization === basic(auth.username, auth.password ?? '')
}

function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}
