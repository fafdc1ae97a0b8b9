import { isIPv4 } from 'node:net'

/** /etc/hosts of a step (features row X24). */
export function hostsFile(
  hostname: string,
  extra: readonly { readonly name: string; readonly address: string }[],
): string {
  const names = hostname === '' ? 'localhost' : `localhost ${hostname}`
  const lines = [`127.0.0.1\t${names}`, '::1\tlocalhost ip6-localhost ip6-loopback']
  for (const { name, address } of extra) lines.push(`${address}\t${name}`)
  return `${lines.join('\n')}\n`
}

/** Google's public resolvers, as Docker falls back to when no reachable one is configured. */
const FALLBACK_SERVERS = ['8.8.8.8', '8.8.4.4', '2001:4860:4860::8888', '2001:4860:4860::8844']

/** Whose resolvers a step reaches: this machine's; those that are not on its loopback; or these, and a forwarder before them. */
export type ResolverReach = 'shared' | 'isolated' | { readonly forwarder: string }

/**
 * /etc/resolv.conf of a step out of the host's (features row X25). A step in another network namespace cannot reach a
 * resolver on the host's loopback, so those are left out; with none left, public ones are named.
 */
export function resolvConf(hostFile: string, reach: ResolverReach): string {
  if (reach === 'shared') return hostFile
  const lines = hostFile.split('\n')
  const kept = lines.filter((line) => {
    const server = nameserverOf(line)
    return server === undefined || !isLoopback(server)
  })
  // A forwarder asks the first IPv4 server of the host's file; without one there it asks nobody.
  if (reach !== 'isolated' && lines.some((line) => isIPv4(nameserverOf(line) ?? ''))) {
    const at = lines.findIndex((line) => nameserverOf(line) !== undefined)
    return kept.toSpliced(at, 0, `nameserver ${reach.forwarder}`).join('\n')
  }
  const text = kept.join('\n')
  if (kept.some((line) => nameserverOf(line) !== undefined)) return text
  const fallback = FALLBACK_SERVERS.map((server) => `nameserver ${server}`).join('\n')
  return `${text === '' || text.endsWith('\n') ? text : `${text}\n`}${fallback}\n`
}

/** True when the file names systemd's stub resolver only; the real servers are in systemd's own file then. */
export function isStubResolver(hostFile: string): boolean {
  const servers = hostFile
    .split('\n')
    .map(nameserverOf)
    .filter((server) => server !== undefined)
  return servers.length === 1 && servers[0] === '127.0.0.53'
}

function nameserverOf(line: string): string | undefined {
  return /^\s*nameserver\s+(\S+)/.exec(line)?.[1]
}

function isLoopback(address: string): boolean {
  return /^127\./.test(address) || address === '::1' || address.startsWith('::1%')
}
