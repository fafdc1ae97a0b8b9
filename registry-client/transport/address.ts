import { BlockList, isIP } from 'node:net'

/** 127.0.0.0/8 and ::1, as literal addresses. */
export function isLoopbackAddress(host: string): boolean {
  if (host === '::1') return true
  return isIP(host) === 4 && host.startsWith('127.')
}

/** Whether a literal address lies in `block`, such as `10.0.0.0/8`; false for all that is neither. */
export function isInAddressBlock(host: string, block: string): boolean {
  const [network = '', prefix = ''] = block.split('/')
  const family = isIP(network)
  if (family === 0 || isIP(host) !== family || !/^\d{1,3}$/.test(prefix)) return false
  if (Number(prefix) > (family === 4 ? 32 : 128)) return false
  const type = family === 4 ? 'ipv4' : 'ipv6'
  const list = new BlockList()
  list.addSubnet(network, Number(prefix), type)
  return list.check(host, type)
}
