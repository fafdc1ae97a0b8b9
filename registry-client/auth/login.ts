import type { Environment } from '../transport/proxy.ts'
import { authKey, AuthConfig, TOKEN_USERNAME, writeConfigFile } from './config-file.ts'
import { helperErase, helperStore } from './credential-helper.ts'
import type { Credentials } from './credentials.ts'
import { dockerConfigPath } from './stored-credentials.ts'

export interface StoreOptions {
  readonly env: Environment
  readonly signal: AbortSignal
}

/** Where credentials went: a helper's name, or the path of the file. */
export type StoredIn =
  | { readonly kind: 'helper'; readonly name: string }
  | { readonly kind: 'file'; readonly path: string }

/**
 * Keeps credentials where Docker and this tool find them: with the helper that config.json names
 * for the registry, else in config.json itself (mode 0600, all other keys kept). They are not
 * checked here: `RegistryClient.checkCredentials` first.
 */
export async function storeCredentials(
  registry: string,
  credentials: Credentials,
  options: StoreOptions,
): Promise<StoredIn> {
  const path = dockerConfigPath(options.env)
  const config = AuthConfig.readFile(path) ?? new AuthConfig({}, path)
  const helper = config.helperFor(registry)
  if (helper === undefined) {
    await writeConfigFile(path, config.withCredentials(registry, credentials))
    return { kind: 'file', path }
  }
  const entry = { serverUrl: authKey(registry), ...namedSecret(credentials) }
  await helperStore({ name: helper.name, ...options }, entry)
  // What an earlier login left in the file is out of date, and readable.
  if (config.isWritten(registry))
    await writeConfigFile(path, config.withCredentials(registry, undefined))
  return { kind: 'helper', name: helper.name }
}

/**
 * Forgets the credentials for a registry, in helper and file; false when there were none in the
 * file and no helper to ask.
 */
export async function eraseCredentials(registry: string, options: StoreOptions): Promise<boolean> {
  const path = dockerConfigPath(options.env)
  const config = AuthConfig.readFile(path)
  if (config === undefined) return false
  const helper = config.helperFor(registry)
  if (helper !== undefined) await helperErase({ name: helper.name, ...options }, authKey(registry))
  const isWritten = config.hasEntry(registry)
  if (isWritten) await writeConfigFile(path, config.withCredentials(registry, undefined))
  return isWritten || helper !== undefined
}

function namedSecret(credentials: Credentials): { username: string; secret: string } {
  if (credentials.kind === 'password')
    return { username: credentials.username, secret: credentials.password }
  return { username: TOKEN_USERNAME, secret: credentials.token }
}
