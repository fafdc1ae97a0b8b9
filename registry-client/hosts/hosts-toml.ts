import { dirname, isAbsolute, join } from 'node:path'
import { RegistryError } from '../errors.ts'
import type { HostCertificateFiles } from '../transport/tls.ts'
import { DEFAULT_REGISTRY, type Reference } from '../oci/index.ts'
import { originOf, type PullSource, type Routing } from './routing.ts'
import { isTable, parseToml, type TomlTable, type TomlValue } from './toml.ts'

/** One `hosts.toml`, with the directory's name, which is the registry that it is about. */
export interface HostsFile {
  readonly directory: string
  readonly path: string
  readonly text: string
}

/** One place that a file names, mirror or `server`. */
interface HostEntry {
  readonly url: URL
  readonly mayPull: boolean
  readonly mayResolve: boolean
  readonly isPathWhole: boolean
  readonly isInsecure: boolean
  readonly headers: Readonly<Record<string, string>>
  readonly certificates: HostCertificateFiles
}

interface HostsRule {
  readonly mirrors: readonly HostEntry[]
  readonly server: HostEntry | undefined
}

const DOCKER_HUB_SERVERS = new Set(['docker.io', 'registry-1.docker.io', 'index.docker.io'])

/**
 * The routing of containerd's `certs.d/<host>/hosts.toml` (features row R12): the hosts in their
 * order, then `server`, by default the registry itself. The directory is `host`, `host:port`,
 * `host_port_`, or `_default` for all others. Pushes go to the registry itself all the same. Throws
 * RegistryError `bad-configuration`.
 */
export function hostsToml(files: readonly HostsFile[]): Routing {
  const rules = new Map<string, HostsRule>()
  for (const file of files) {
    const registry = registryOf(file.directory)
    if (!rules.has(registry)) rules.set(registry, readRule(file))
  }
  const entries = [...rules.values()].flatMap(({ mirrors, server }) =>
    server === undefined ? mirrors : [...mirrors, server],
  )
  return {
    insecureRegistries: entries.filter((entry) => entry.isInsecure).map(({ url }) => url.host),
    hostCertificates: new Map(entries.map(({ url, certificates }) => [url.host, certificates])),
    pullSources(reference) {
      const rule = rules.get(reference.registry) ?? rules.get('_default')
      if (rule === undefined) return [originOf(reference)]
      const isTag = reference.digest === undefined
      const mirrors = rule.mirrors.filter(
        ({ mayPull, mayResolve }) => mayPull && (mayResolve || !isTag),
      )
      const last =
        rule.server === undefined || isServerOf(reference, rule.server.url)
          ? originOf(reference)
          : sourceOf(rule.server, reference)
      return [...mirrors.map((entry) => sourceOf(entry, reference)), last]
    },
  }
}

/** `host_5000_` is how a port is written where colons may not be in file names. */
function registryOf(directory: string): string {
  return directory.replace(/_(\d{1,5})_$/, ':$1')
}

function isServerOf({ registry }: Reference, { host }: URL): boolean {
  return host === registry || (registry === DEFAULT_REGISTRY && DOCKER_HUB_SERVERS.has(host))
}

/**
 * containerd's rule of paths: `/v2` is appended unless `override_path` says that the path is whole.
 * What comes after `/v2/` counts to the repository's name, as token servers see it so.
 */
function sourceOf(entry: HostEntry, reference: Reference): PullSource {
  const path = entry.url.pathname.replace(/\/+$/, '')
  const whole = entry.isPathWhole || path.endsWith('/v2') ? `${path}/` : `${path}/v2/`
  const [, base = whole, prefix = ''] = /^(\/v2\/)(.*)$/.exec(whole) ?? []
  const isOrigin = entry.url.host === reference.registry
  return {
    registry: entry.url.host,
    repository: `${prefix}${reference.repository}`,
    isPlainHttp: entry.url.protocol === 'http:',
    endpoint: {
      baseUrl: new URL(base, entry.url),
      namespace: isOrigin ? undefined : reference.registry,
      headers: entry.headers,
    },
  }
}

function readRule({ path, text }: HostsFile): HostsRule {
  const file = parseToml(text, path)
  const hosts = file['host'] ?? {}
  if (!isTable(hosts)) throw bad(path, 'hosts are written [host."https://NAME"]')
  const mirrors = Object.entries(hosts).map(([name, table]) => {
    if (!isTable(table)) throw bad(path, `host ${name} is not a table`)
    return readEntry(name, table, path)
  })
  const server = file['server']
  if (server !== undefined && typeof server !== 'string') throw bad(path, 'server is not a string')
  return { mirrors, server: server ? readEntry(server, file, path) : undefined }
}

function readEntry(name: string, table: TomlTable, path: string): HostEntry {
  const text = /^[a-z]+:\/\//.test(name) ? name : `https://${name}`
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    throw bad(path, `${name} is not an http URL`)
  if (url.username !== '' || url.password !== '')
    throw bad(path, `the URL of ${url.host} has a login in it; store it with a login command`)
  const capabilities = strings(table['capabilities'] ?? ['pull', 'resolve'], 'capabilities', path)
  return {
    url,
    mayPull: capabilities.includes('pull'),
    mayResolve: capabilities.includes('resolve'),
    isPathWhole: table['override_path'] === true,
    isInsecure: table['skip_verify'] === true,
    headers: readHeaders(table['header'], path),
    certificates: readCertificates(table, path),
  }
}

function readHeaders(value: TomlValue | undefined, path: string): Record<string, string> {
  if (value === undefined) return {}
  if (!isTable(value)) throw bad(path, 'header is not a table')
  const headers = Object.entries(value).map(
    ([name, text]) => [name.toLowerCase(), strings(text, 'header', path).join(', ')] as const,
  )
  for (const [name, text] of headers) {
    if (!/^[a-z0-9-]+$/.test(name) || !/^[\t\x20-\x7e]*$/.test(text))
      throw bad(path, `${JSON.stringify(name)} cannot be a header`)
  }
  return Object.fromEntries(headers)
}

/** `ca` is a file or several; `client` a file with both, or pairs of certificate and key. */
function readCertificates(table: TomlTable, path: string): HostCertificateFiles {
  const absolute = (name: string): string =>
    name === '' || isAbsolute(name) ? name : join(dirname(path), name)
  const authorities = strings(table['ca'] ?? [], 'ca', path).map(absolute)
  const client = table['client']
  if (client === undefined) return { authorities }
  const first = Array.isArray(client) ? (client[0] ?? []) : client
  const [certificate, key] = strings(first, 'client', path).map(absolute)
  if (certificate === undefined) return { authorities }
  return { authorities, client: { certificate, key: key || certificate } }
}

/** A string, or several. */
function strings(value: TomlValue, name: string, path: string): string[] {
  const list = Array.isArray(value) ? value : [value]
  if (list.every((item) => typeof item === 'string')) return list
  throw bad(path, `${name} is not a string or a list of strings`)
}

function bad(path: string, reason: string): RegistryError {
  return new RegistryError('bad-configuration', `${path}: ${reason}`)
}
