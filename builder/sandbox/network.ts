import { readFile } from 'node:fs/promises'
import { SandboxError } from './errors.ts'
import { isStubResolver, resolvConf } from './network-files.ts'
import type { SandboxNetwork } from './spec.ts'

/** What `default` costs here, in one line for the user (features rows X27, X30). */
export const SHARED_NETWORK_NOTICE = "steps use this machine's network"

/** The network of a step. `default` shares the worker's, as BuildKit does where no CNI plugin is configured (X27). Errors: `sandbox-unavailable`. */
export function sandboxNetwork(
  asked: 'default' | 'none' | 'host',
  { isChroot }: { readonly isChroot: boolean },
): SandboxNetwork {
  switch (asked) {
    case 'none':
      if (isChroot) {
        throw new SandboxError(
          'sandbox-unavailable',
          'could not run the step without network: no namespaces can be made here, so it would have the one of this container',
        )
      }
      return { kind: 'none' }
    case 'default':
    case 'host':
      return { kind: 'shared' }
    default:
      return asked satisfies never
  }
}

const RESOLV_CONF = '/etc/resolv.conf'
/** Where systemd-resolved keeps the real servers behind its stub (resolved.conf(5)). */
const RESOLVED_CONF = '/run/systemd/resolve/resolv.conf'

/** The step's /etc/resolv.conf out of this machine's, read anew for every step. */
export async function readHostResolvConf(options: {
  readonly sharesHostNetwork: boolean
}): Promise<string> {
  const own = await readIfThere(RESOLV_CONF)
  const source = isStubResolver(own) ? await readIfThere(RESOLVED_CONF) : own
  return resolvConf(source === '' ? own : source, options)
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw error
  }
}
