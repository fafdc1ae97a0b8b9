import { isIP } from 'node:net'
import { RegistryError } from '../errors.ts'
import { isInAddressBlock, isLoopbackAddress } from './address.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * The proxy to reach `url` by, from HTTP_PROXY, HTTPS_PROXY and NO_PROXY in either case, with the
 * rules of Go's httpproxy (features row R7), because the same variables steer Docker: loopback is
 * never proxied; NO_PROXY lists addresses, CIDR blocks, `name` (and all below it), `.name` (only
 * below it), each with an optional port, or `*`.
 */
export function proxyFor(url: URL, env: Environment): URL | undefined {
  const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY'
  const value = variable(env, name)
  if (value === undefined || isExempt(url, variable(env, 'NO_PROXY') ?? '')) return undefined
  const text = value.includes('://') ? value : `http://${value}`
  if (!URL.canParse(text)) throw new RegistryError('bad-configuration', `${name} is not a URL`)
  const proxy = new URL(text)
  if (proxy.protocol !== 'http:' && proxy.protocol !== 'https:') {
    throw new RegistryError(
      'bad-configuration',
      `${name}: a proxy with ${proxy.protocol}// is not supported, only http:// and https://`,
    )
  }
  return proxy
}

function variable(env: Environment, name: string): string | undefined {
  const value = env[name] || env[name.toLowerCase()]
  return value === undefined || value === '' ? undefined : value
}

function isExempt(url: URL, noProxy: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase()
  if (host === 'localhost' || isLoopbackAddress(host)) return true
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
  return noProxy.split(',').some((rule) => isMatch(rule.trim().toLowerCase(), host, port))
}

function isMatch(rule: string, host: string, port: string): boolean {
  if (rule === '') return false
  if (rule === '*') return true
  if (rule.includes('/')) return isInAddressBlock(host, rule)
  const { name, rulePort } = splitPort(rule)
  if (rulePort !== undefined && rulePort !== port) return false
  if (isIP(name) !== 0) return name === host
  const suffix = name.startsWith('*.') ? name.slice(1) : name
  return suffix.startsWith('.')
    ? host.endsWith(suffix)
    : host === suffix || host.endsWith(`.${suffix}`)
}

function splitPort(rule: string): { name: string; rulePort: string | undefined } {
  if (isIP(rule) !== 0) return { name: rule, rulePort: undefined }
  const match = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(rule)
  return { name: match?.[1] ?? match?.[2] ?? rule, rulePort: match?.[3] }
}
