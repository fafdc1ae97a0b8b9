import { isIP } from 'node:net'
import type { BuildRequest } from '../../request.ts'
import { UsageError } from '../errors.ts'

const ULIMIT_NAMES: ReadonlySet<string> = new Set([
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
])

/** `--ulimit name=soft[:hard]` (features row C38); -1 is unlimited; of a repeated name the last counts. Throws `UsageError`. */
export function readUlimits(values: readonly string[]): BuildRequest['ulimits'] {
  const limits = new Map<string, BuildRequest['ulimits'][number]>()
  for (const text of values) {
    const refuse = (reason: string): UsageError =>
      new UsageError(`invalid argument "${text}" for "--ulimit" flag: ${reason}`)
    const equals = text.indexOf('=')
    const name = text.slice(0, Math.max(0, equals))
    if (equals < 0) {
      throw refuse('it must be name=soft[:hard]')
    }
    if (!ULIMIT_NAMES.has(name)) {
      throw refuse(`invalid ulimit type: ${name}`)
    }
    const parts = text.slice(equals + 1).split(':')
    const [soft = NaN, hard = soft] = parts.map((part) =>
      /^(-1|\d+)$/.test(part) ? Number(part) : NaN,
    )
    if (parts.length > 2 || Number.isNaN(soft) || Number.isNaN(hard)) {
      throw refuse('the limits must be whole numbers, or -1 for unlimited')
    }
    if (hard !== -1 && (soft === -1 || soft > hard)) {
      throw refuse(`the soft limit (${soft}) is above the hard limit (${hard})`)
    }
    limits.set(name, { name, soft, hard })
  }
  return [...limits.values()]
}

/** `--add-host name=ip`, `name:ip`, `name=[ip6]`, comma lists (features row C36). Throws `UsageError`. */
export function readExtraHosts(values: readonly string[]): BuildRequest['extraHosts'] {
  return values
    .flatMap((value) => value.split(','))
    .map((text) => {
      const separator = text.includes('=') ? '=' : ':'
      const at = text.indexOf(separator)
      const name = text.slice(0, Math.max(0, at))
      const address = text.slice(at + 1).replace(/^\[(.*)\]$/, '$1')
      // Each is a line of the step's /etc/hosts.
      if (name === '' || /\s/.test(name)) {
        throw new UsageError(
          `invalid argument "${text}" for "--add-host" flag: it must be name=address`,
        )
      }
      if (address === 'host-gateway') return { name, address }
      if (isIP(address) === 0) {
        throw new UsageError(
          `invalid argument "${text}" for "--add-host" flag: invalid IP address: "${address}"`,
        )
      }
      return { name, address }
    })
}

const ENTITLEMENTS: ReadonlySet<string> = new Set([
  'network.host',
  'security.insecure',
  'device',
  'buildx.local.delete',
])

/** `--allow` with what `--network` implies (features rows C35, C37). Throws `UsageError` for what cannot be granted. */
export function readEntitlements(
  values: readonly string[],
  network: BuildRequest['network'],
): string[] {
  const granted = new Set(network === 'host' ? ['network.host'] : [])
  for (const text of values.flatMap((value) => value.split(','))) {
    if (!ENTITLEMENTS.has(text.replace(/=.*$/, ''))) {
      throw new UsageError(
        `invalid argument "${text}" for "--allow" flag: unknown entitlement (known: ${[...ENTITLEMENTS].join(', ')})`,
      )
    }
    granted.add(text)
  }
  return [...granted]
}

/** `--network` (features row C35). */
export function readNetwork(text: string | undefined): BuildRequest['network'] {
  switch (text) {
    case undefined:
    case '':
    case 'default':
      return 'default'
    case 'none':
    case 'host':
      return text
    default:
      throw new UsageError(
        `invalid argument "${text}" for "--network" flag: network mode "${text}" is not supported (known: default, none, host)`,
      )
  }
}
