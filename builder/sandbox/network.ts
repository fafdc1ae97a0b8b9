import { readFileSync } from 'node:fs'
import { errnoOf } from '../../snapshotter/index.ts'
import type { RunRequest } from '../worker/protocol.ts'
import { SandboxError } from './errors.ts'
import { isStubResolver, resolvConf } from './network-files.ts'
import { type NetworkNamespace, ownAddress } from './network-namespace.ts'
import { STEP_NETWORK } from './network-program.ts'
import type { SandboxNetwork } from './spec.ts'

/**
 * The network of a step. `default` is the namespace that the steps of a build share, else this machine's (docs/decisions/009).
 * Errors: `sandbox-unavailable`.
 */
export async function sandboxNetwork(
  asked: RunRequest['network'],
  own: { readonly isChroot: boolean; readonly namespace: Pick<NetworkNamespace, 'path'> },
): Promise<SandboxNetwork> {
  switch (asked) {
    case 'none':
      if (own.isChroot) {
        throw new SandboxError(
          'sandbox-unavailable',
          'could not run the step without network: no namespaces can be made here, so it would have the one of this container',
        )
      }
      return { kind: 'none' }
    case 'default': {
      const path = own.isChroot ? undefined : await own.namespace.path()
      return path === undefined ? { kind: 'shared' } : { kind: 'join', path }
    }
    case 'host':
      return { kind: 'shared' }
    default:
      return asked satisfies never
  }
}

/**
 * Names with their addresses as this step can use them: `host-gateway` is this machine (features row C36).
 * Errors: `sandbox-unavailable` where it has no address that the step could reach.
 */
export async function resolveHosts(
  hosts: RunRequest['extraHosts'],
  { kind }: SandboxNetwork,
): Promise<RunRequest['extraHosts']> {
  if (!hosts.some(({ address }) => address === HOST_GATEWAY)) return hosts
  const gateway = kind === 'join' ? await ownAddress() : '127.0.0.1'
  if (gateway === undefined) {
    throw new SandboxError(
      'sandbox-unavailable',
      `could not add a host at ${HOST_GATEWAY}: this machine has no IPv4 route, so no address that steps could reach it by; give an address, or --network=host`,
    )
  }
  return hosts.map((host) => (host.address === HOST_GATEWAY ? { ...host, address: gateway } : host))
}

/** What stands for this machine's address in `--add-host`. */
const HOST_GATEWAY = 'host-gateway'

const RESOLV_CONF = '/etc/resolv.conf'
/** Where systemd-resolved keeps the real servers behind its stub (resolved.conf(5)). */
const RESOLVED_CONF = '/run/systemd/resolve/resolv.conf'

/** The step's /etc/resolv.conf out of this machine's, read anew for every step. */
export function readHostResolvConf({ kind }: SandboxNetwork): string {
  const own = readIfThere(RESOLV_CONF)
  // The program that carries the step's packets asks the stub itself.
  if (kind === 'join') return resolvConf(own, { forwarder: STEP_NETWORK.resolver })
  const source = isStubResolver(own) ? readIfThere(RESOLVED_CONF) : own
  return resolvConf(source === '' ? own : source, kind === 'shared' ? 'shared' : 'isolated')
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return ''
    throw error
  }
}
