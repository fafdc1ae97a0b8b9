import type { HostClient } from './host-client.ts'
import { refuseWebPage } from './transport/response-error.ts'

/**
 * Asks whether the registry's API is there and takes our credentials, if it wants any (features row
 * R3). Throws RegistryError: `unauthorized`, `registry-unreachable`, `not-found` or `bad-response`
 * when there is no registry at that address.
 */
export async function ping(host: HostClient, signal: AbortSignal): Promise<void> {
  const request = {
    method: 'GET',
    target: '',
    access: { repository: undefined, scopes: [] },
    expect: [200],
    lane: 'call',
  } as const
  await host.call(request, signal, refuseWebPage)
}
