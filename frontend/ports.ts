import { goQuote } from './go-format.ts'

/** How a word of EXPOSE is written, whether or not its numbers make sense. */
interface PortSpelling {
  /** The protocol was not written in lower case. */
  readonly hasUpperCaseProtocol: boolean
  /** An address or a host port was given; only the container's part counts. */
  readonly hasHostPart: boolean
}

/** Ports of one word of EXPOSE, as `80/tcp` (features row D88). */
export interface ExposedPorts extends PortSpelling {
  readonly ports: readonly string[]
}

/** Why a word is refused, and how it is written as far as that can be told. */
interface RefusedPorts extends Partial<PortSpelling> {
  readonly fault: string
}

const PORT_MAX = 65_535

/** Reads `[ip:][host:]port[-port][/protocol]`. */
export function parseExposedPorts(text: string): ExposedPorts | RefusedPorts {
  const parts = text.split(':')
  const container = parts.pop() ?? ''
  const host = parts.pop() ?? ''
  const ip = parts.join(':')
  const slash = container.indexOf('/')
  const portText = slash < 0 ? container : container.slice(0, slash)
  const protocol = (slash < 0 ? '' : container.slice(slash + 1)) || 'tcp'
  if (portText === '') return { fault: `invalid port: ${goQuote(text)}: no port specified` }
  if (!['tcp', 'udp', 'sctp'].includes(protocol.toLowerCase())) {
    return { fault: `invalid port: ${goQuote(text)}: invalid proto: ${protocol}` }
  }
  const hasUpperCaseProtocol = protocol !== protocol.toLowerCase()
  const spelling = { hasUpperCaseProtocol, hasHostPart: ip !== '' || host !== '' }
  if (ip !== '' && !isAddress(ip.replace(/^\[(.*)\]$/, '$1'))) {
    return { fault: `invalid IP address: ${ip}`, ...spelling }
  }
  const range = parseRange(portText)
  if (range === undefined) return { fault: `invalid containerPort: ${portText}`, ...spelling }
  const hostFault = host === '' ? undefined : checkHostRange(host, portText, range)
  if (hostFault !== undefined) return { fault: hostFault, ...spelling }
  const ports: string[] = []
  for (let port = range.first; port <= range.last; port++) {
    ports.push(`${port}/${protocol.toLowerCase()}`)
  }
  return { ports, ...spelling }
}

interface PortRange {
  readonly first: number
  readonly last: number
}

function checkHostRange(host: string, container: string, range: PortRange): string | undefined {
  const hostRange = parseRange(host)
  if (hostRange === undefined) return `invalid hostPort: ${host}`
  const isSameLength = hostRange.last - hostRange.first === range.last - range.first
  // A host range for one container port is a choice of ports.
  if (isSameLength || range.first === range.last) return undefined
  return `invalid ranges specified for container and host Ports: ${container} and ${host}`
}

function parseRange(text: string): PortRange | undefined {
  const dash = text.indexOf('-')
  const first = parsePort(dash < 0 ? text : text.slice(0, dash))
  const last = dash < 0 ? first : parsePort(text.slice(dash + 1))
  return first === undefined || last === undefined || last < first ? undefined : { first, last }
}

function isAddress(text: string): boolean {
  const isFourParts = /^\d{1,3}(?:\.\d{1,3}){3}$/.test(text)
  if (isFourParts) return text.split('.').every((part) => Number(part) <= 255)
  return text.includes(':') && URL.canParse(`http://[${text}]/`)
}

function parsePort(text: string): number | undefined {
  if (!/^\+?\d+$/.test(text)) return undefined
  const port = Number(text)
  return port <= PORT_MAX ? port : undefined
}
