import { chmod, mkdir, open, realpath, rename, rm } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { dirname } from 'node:path'
import { RegistryError } from '../errors.ts'
import { readTextIfThere } from '../local-files.ts'
import { DEFAULT_REGISTRY } from '../oci/index.ts'
import { type Credentials, secretsOf } from './credentials.ts'

type JsonMap = Readonly<Record<string, unknown>>

/** Key of Docker Hub in `auths` and the name helpers know it by. */
const DOCKER_HUB_KEY = 'https://index.docker.io/v1/'
const DOCKER_HUB_NAMES = new Set(['index.docker.io', 'docker.io', 'registry-1.docker.io'])
/** Where a user name would stand, says that the password is an identity token. */
export const TOKEN_USERNAME = '<token>'

/**
 * Docker's config.json or containers' auth.json (features rows R16, R17). `origin` names it in
 * messages.
 */
export class AuthConfig {
  readonly #origin: string
  readonly #json: JsonMap

  constructor(json: JsonMap, origin: string) {
    this.#json = json
    this.#origin = origin
  }

  /**
   * Throws RegistryError `bad-configuration` without showing any of the text, which holds
   * passwords.
   */
  static parse(text: string, origin: string): AuthConfig {
    // Editors of Windows begin a file with a byte order mark.
    const written = text.replace(/^\uFEFF/, '')
    let json: unknown
    try {
      json = JSON.parse(written.trim() === '' ? '{}' : written)
    } catch {
      // The cause would quote the text.
      throw new RegistryError('bad-configuration', `${origin} is not valid JSON`)
    }
    if (!isMap(json)) throw new RegistryError('bad-configuration', `${origin} is not a JSON object`)
    return new AuthConfig(json, origin)
  }

  /** The file's content; undefined when there is no such file. */
  static readFile(path: string): AuthConfig | undefined {
    const text = readTextIfThere(path)
    return text === undefined ? undefined : AuthConfig.parse(text, path)
  }

  get origin(): string {
    return this.#origin
  }

  /**
   * The helper (the `x` of `docker-credential-x`) for a registry: its own in `credHelpers`, else
   * `credsStore`.
   */
  helperFor(registry: string): { readonly name: string; readonly isOwn: boolean } | undefined {
    for (const [key, value] of Object.entries(this.#map('credHelpers'))) {
      if (normalizeKey(key) === registry && typeof value === 'string' && value !== '')
        return { name: value, isOwn: true }
    }
    const store = this.#json['credsStore']
    return typeof store === 'string' && store !== '' ? { name: store, isOwn: false } : undefined
  }

  /**
   * What `auths` holds for the registry, the key with the longest path that contains the repository
   * first.
   */
  credentials(registry: string, repository: string | undefined): Credentials | undefined {
    const entries = new Map(
      Object.entries(this.#map('auths')).map(([key, value]) => [normalizeKey(key), value]),
    )
    const parts = repository === undefined ? [] : repository.split('/')
    for (let length = parts.length; length >= 0; length -= 1) {
      const key = [registry, ...parts.slice(0, length)].join('/')
      const entry = entries.get(key)
      const credentials = isMap(entry) ? this.#readEntry(entry, key) : undefined
      if (credentials !== undefined) return credentials
    }
    return undefined
  }

  /**
   * The same file with credentials for a registry; `undefined` removes them. All other keys stay as
   * they are.
   */
  withCredentials(registry: string, credentials: Credentials | undefined): JsonMap {
    const others = Object.entries(this.#map('auths')).filter(
      ([key]) => normalizeKey(key) !== registry,
    )
    const own =
      credentials === undefined ? [] : [[authKey(registry), entryOf(credentials)] as const]
    return { ...this.#json, auths: Object.fromEntries([...others, ...own]) }
  }

  /** Whether `auths` has a key for the registry itself, with or without credentials in it. */
  hasEntry(registry: string): boolean {
    return Object.keys(this.#map('auths')).some((key) => normalizeKey(key) === registry)
  }

  /** Whether the file itself says something about how to log in to the registry. */
  isWritten(registry: string): boolean {
    return Object.entries(this.#map('auths')).some(
      ([key, entry]) =>
        normalizeKey(key) === registry && isMap(entry) && Object.keys(entry).length > 0,
    )
  }

  #readEntry(entry: JsonMap, key: string): Credentials | undefined {
    const text = (name: string): string => {
      const value = entry[name]
      return typeof value === 'string' ? value : ''
    }
    if (text('registrytoken') !== '')
      return { kind: 'registry-token', token: text('registrytoken') }
    const decoded = text('auth') === '' ? undefined : decodeAuth(text('auth'))
    if (text('auth') !== '' && decoded === undefined) {
      throw new RegistryError(
        'bad-configuration',
        `${this.#origin}: the auth of ${key} is not base64 of name:password`,
      )
    }
    const username = decoded?.username ?? text('username')
    const password = decoded?.password ?? text('password')
    if (text('identitytoken') !== '')
      return { kind: 'identity-token', username, token: text('identitytoken') }
    if (username === '' && password === '') return undefined
    return passwordOrToken(username, password)
  }

  #map(key: string): JsonMap {
    const value = this.#json[key]
    return isMap(value) ? value : {}
  }
}

/** The key under which a registry stands in `auths`, and the name that helpers are asked for. */
export function authKey(registry: string): string {
  return registry === DEFAULT_REGISTRY ? DOCKER_HUB_KEY : registry
}

/** What a helper or file gives as name and secret (features row R18). */
export function passwordOrToken(username: string, password: string): Credentials {
  if (username === TOKEN_USERNAME) return { kind: 'identity-token', username: '', token: password }
  return { kind: 'password', username, password }
}

/**
 * Replaces the file as a whole with mode 0600: a reader sees the old or the new text, and a crash
 * leaves one of them.
 */
export async function writeConfigFile(path: string, json: JsonMap): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  // A config.json that is a link into a dotfiles folder stays one.
  const target = await realpath(path).catch(() => path)
  const temporary = `${target}.${randomBytes(6).toString('hex')}`
  try {
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(`${JSON.stringify(json, null, '\t')}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await chmod(temporary, 0o600)
    await rename(temporary, target)
  } catch (cause) {
    await rm(temporary, { force: true })
    throw new RegistryError('bad-configuration', `cannot write ${path}`, { cause })
  }
}

/** Keys come as `host`, `https://host`, `https://host/v1/`, `host/namespace`. */
function normalizeKey(key: string): string {
  const bare = key
    .replace(/^https?:\/\//, '')
    .replace(/\/+$/, '')
    .replace(/\/v[12]$/, '')
  const [host = '', ...path] = bare.split('/')
  return [DOCKER_HUB_NAMES.has(host) ? DEFAULT_REGISTRY : host, ...path].join('/')
}

/** Name and password are separated by the first colon; old clients padded with NUL. */
function decodeAuth(auth: string): { username: string; password: string } | undefined {
  const text = Buffer.from(auth, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  if (colon <= 0) return undefined
  return {
    username: text.slice(0, colon),
    password: text.slice(colon + 1).replaceAll(/^\0+|\0+$/g, ''),
  }
}

function entryOf(credentials: Credentials): JsonMap {
  switch (credentials.kind) {
    case 'password':
      return { auth: secretsOf(credentials)[1] }
    case 'identity-token':
      return {
        // Without a name there is nothing to write: `:` alone counts as broken.
        ...(credentials.username === ''
          ? {}
          : { auth: Buffer.from(`${credentials.username}:`).toString('base64') }),
        identitytoken: credentials.token,
      }
    case 'registry-token':
      return { registrytoken: credentials.token }
  }
}

function isMap(value: unknown): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
