import { lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { RegistryError } from '../errors.ts'

/**
 * Link-local networks, where clouds serve credentials to whoever asks, and the metadata services
 * outside them.
 */
const FORBIDDEN = new BlockList()
FORBIDDEN.addSubnet('169.254.0.0', 16, 'ipv4')
FORBIDDEN.addSubnet('fe80::', 10, 'ipv6')
FORBIDDEN.addAddress('fd00:ec2::254', 'ipv6')
FORBIDDEN.addAddress('fd20:ce::254', 'ipv6')
FORBIDDEN.addAddress('100.100.100.200', 'ipv4')
FORBIDDEN.addAddress('192.0.0.192', 'ipv4')
// The unspecified address reaches this machine itself.
FORBIDDEN.addAddress('0.0.0.0', 'ipv4')
FORBIDDEN.addAddress('::', 'ipv6')

const METADATA_NAMES = new Set(['metadata', 'metadata.google.internal'])

/**
 * Whether a server must not be able to make us ask there. IPv4 addresses written as IPv6 count as
 * what they are.
 */
export function isForbiddenAddress(hostname: string): boolean {
  const host = hostname
    .replace(/^\[|\]$/g, '')
    .replace(/%.*$/, '')
    .replace(/\.$/, '')
    .toLowerCase()
  if (METADATA_NAMES.has(host)) return true
  const family = isIP(host)
  if (family === 0) return false
  return FORBIDDEN.check(host, family === 4 ? 'ipv4' : 'ipv6')
}

export function forbiddenTarget(host: string): RegistryError {
  const reason = `refused to follow the server to ${host}: link-local and metadata addresses are never asked on a server's behalf`
  return new RegistryError('bad-response', reason, { host })
}

/**
 * Names are checked where they are resolved, so that a name cannot change between check and
 * connection.
 */
export const guardedLookup: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, '')
    if (addresses.some(({ address }) => isForbiddenAddress(address)))
      return callback(forbiddenTarget(hostname), '')
    const [first] = addresses
    if (options.all === true) return callback(null, addresses)
    return callback(null, first?.address ?? '', first?.family ?? 4)
  })
}
