import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { rootCertificates, type SecureContextOptions } from 'node:tls'
import { RegistryError } from '../errors.ts'
import { namesIn, readText, readTextIfThere } from '../local-files.ts'
import type { Environment } from './proxy.ts'

/**
 * Where Debian, Fedora, SUSE, Alpine and others keep the system's certificate authorities: the list
 * that Go programs use.
 */
const SYSTEM_CA_FILES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

/** Certificate files that were named for a host, besides those in its directories. */
export interface HostCertificateFiles {
  readonly authorities: readonly string[]
  readonly client?: { readonly certificate: string; readonly key: string }
}

/** Certificates of one host, found in its `certs.d` directories. */
interface HostCertificates {
  readonly authorities: readonly string[]
  readonly certificate: string | undefined
  readonly key: string | undefined
}

/** The name of the host's directory in `certs.d`: Docker Hub's is that of its references. */
export function certificateName(url: URL): string {
  return url.host === 'registry-1.docker.io' ? 'docker.io' : url.host
}

/** Where this user may put certificates for a host; one of several places that are read. */
export function certificateDirectory(url: URL): string {
  const parent = process.getuid?.() === 0 ? '/etc/docker' : '~/.docker'
  return `${parent}/certs.d/${certificateName(url)}`
}

/**
 * Which certificates are trusted for a host, and which one we show (features row R6): the system's
 * authorities (or SSL_CERT_FILE, SSL_CERT_DIR), NODE_EXTRA_CA_CERTS, `--registry-ca` files, and
 * `certs.d/<host[:port]>/` of Docker and of containers: `*.crt` are authorities, `*.cert` with
 * `*.key` of the same name our own. Files are read when a host first needs them.
 */
export class CertificateStore {
  readonly #env: Environment
  readonly #caFiles: readonly string[]
  readonly #hostFiles: ReadonlyMap<string, HostCertificateFiles>
  readonly #directories: readonly string[]
  readonly #hosts = new Map<string, HostCertificates>()
  #authorities: readonly string[] | undefined

  constructor(options: {
    readonly env: Environment
    readonly caFiles: readonly string[]
    readonly hostFiles: ReadonlyMap<string, HostCertificateFiles>
  }) {
    this.#env = options.env
    this.#caFiles = options.caFiles
    this.#hostFiles = options.hostFiles
    const home = options.env['HOME']
    const ofUser =
      home === undefined
        ? []
        : [join(home, '.config/containers/certs.d'), join(home, '.docker/certs.d')]
    this.#directories = ['/etc/docker/certs.d', '/etc/containers/certs.d', ...ofUser]
  }

  /** Whether there is a directory of certificates for this host and port. */
  hasCertificates(host: string): boolean {
    const { authorities, certificate } = this.#certificatesOf(host)
    return authorities.length > 0 || certificate !== undefined
  }

  /** Whether an authority was set up for this host in particular. */
  hasAuthorities(host: string): boolean {
    return this.#certificatesOf(host).authorities.length > 0
  }

  /**
   * What node's TLS needs to talk to `host`; throws RegistryError `bad-configuration` for files
   * that cannot be read.
   */
  settingsFor(host: string): Pick<SecureContextOptions, 'ca' | 'cert' | 'key'> {
    const { authorities, certificate, key } = this.#certificatesOf(host)
    this.#authorities ??= [...this.#systemAuthorities(), ...this.#extraAuthorities()]
    const ca = [...this.#authorities, ...authorities]
    return certificate === undefined || key === undefined ? { ca } : { ca, cert: certificate, key }
  }

  #certificatesOf(host: string): HostCertificates {
    const known = this.#hosts.get(host)
    if (known !== undefined) return known
    const named = this.#hostFiles.get(host)
    const found = [
      ...(named === undefined ? [] : [readNamedFiles(named)]),
      ...this.#directories.map((directory) => readHostDirectory(join(directory, host))),
    ]
    const own = found.find((certificates) => certificates.certificate !== undefined)
    const certificates = {
      authorities: found.flatMap((one) => one.authorities),
      certificate: own?.certificate,
      key: own?.key,
    }
    this.#hosts.set(host, certificates)
    return certificates
  }

  #systemAuthorities(): readonly string[] {
    const file = this.#env['SSL_CERT_FILE']
    const directories = this.#env['SSL_CERT_DIR']?.split(':').filter((path) => path !== '') ?? []
    if (file || directories.length > 0) {
      return [
        ...(file ? [readAuthorityFile(file)] : []),
        ...directories.flatMap(readCertificateDirectory),
      ]
    }
    for (const path of SYSTEM_CA_FILES) {
      const text = readTextIfThere(path)
      if (text !== undefined) return [text]
    }
    return rootCertificates
  }

  #extraAuthorities(): readonly string[] {
    // Node itself skips an unreadable NODE_EXTRA_CA_CERTS with a warning; whoever set it wants to
    // know.
    const extra = this.#env['NODE_EXTRA_CA_CERTS']
    return [...(extra ? [extra] : []), ...this.#caFiles].map(readAuthorityFile)
  }
}

function readNamedFiles({ authorities, client }: HostCertificateFiles): HostCertificates {
  return {
    authorities: authorities.map(readAuthorityFile),
    certificate: client === undefined ? undefined : readText(client.certificate),
    key: client === undefined ? undefined : readText(client.key),
  }
}

function readHostDirectory(directory: string): HostCertificates {
  const names = namesIn(directory)
  const certificateName = names.find((name) => name.endsWith('.cert'))
  const keyName = certificateName?.replace(/\.cert$/, '.key')
  if (certificateName !== undefined && keyName !== undefined && !names.includes(keyName)) {
    const reason = `${join(directory, certificateName)} has no key: ${join(directory, keyName)} is missing`
    throw new RegistryError('bad-configuration', reason)
  }
  return {
    authorities: names
      .filter((name) => name.endsWith('.crt'))
      .map((name) => readAuthorityFile(join(directory, name))),
    certificate:
      certificateName === undefined ? undefined : readText(join(directory, certificateName)),
    key: keyName === undefined ? undefined : readText(join(directory, keyName)),
  }
}

function readCertificateDirectory(directory: string): string[] {
  // A certificate directory may hold directories and dangling links; they hold no certificates.
  return namesIn(directory).flatMap(
    (name) => readTextIfThere(join(directory, name), 'EISDIR') ?? [],
  )
}

/**
 * Node's TLS passes over what is no certificate without a word; who configured the file wants to
 * hear it.
 */
function readAuthorityFile(path: string): string {
  const text = readText(path)
  try {
    new X509Certificate(text)
    return text
  } catch (cause) {
    throw new RegistryError('bad-configuration', `${path} is not a certificate in PEM form`, {
      cause,
    })
  }
}
