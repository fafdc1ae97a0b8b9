/** How we prove who we are to one registry. Values never go into messages; `name` may. */
export type Credentials =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /** A refresh token: exchanged for access tokens by an OAuth2 POST (features row R22). */
  | { readonly kind: 'identity-token'; readonly username: string; readonly token: string }
  /** Sent as it is, as a bearer token. */
  | { readonly kind: 'registry-token'; readonly token: string }

/** Where credentials are found. */
export interface CredentialSource {
  /**
   * Those for `repository` on `registry` (both as references name them), or undefined for none.
   * Throws RegistryError `bad-configuration` when a file or helper that should know cannot be used.
   */
  find(
    registry: string,
    repository: string | undefined,
    signal: AbortSignal,
  ): Promise<Credentials | undefined>
}

/** The first of `sources` that knows. */
export function firstOf(sources: readonly CredentialSource[]): CredentialSource {
  return {
    async find(registry, repository, signal) {
      for (const source of sources) {
        const found = await source.find(registry, repository, signal)
        if (found !== undefined) return found
      }
      return undefined
    },
  }
}

/** These credentials, for one registry and no other. */
export function credentialsFor(registry: string, credentials: Credentials): CredentialSource {
  return {
    find: async (asked) => (asked === registry ? credentials : undefined),
  }
}

/** No credentials at all. */
export const anonymous: CredentialSource = { find: async () => undefined }

/**
 * The value of an Authorization header. Names and passwords may hold any character (features row
 * R26): bytes are UTF-8.
 */
export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`
}

/** What must be masked when a server echoes it. */
export function secretsOf(credentials: Credentials | undefined): string[] {
  if (credentials === undefined) return []
  if (credentials.kind !== 'password') return [credentials.token]
  const basic = basicAuthorization(credentials.username, credentials.password).slice(
    'Basic '.length,
  )
  return [credentials.password, basic]
}
