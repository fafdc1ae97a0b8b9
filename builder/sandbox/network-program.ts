/** What a step sees of its network: the same numbers whichever program carries it. */
export const STEP_NETWORK = {
  device: 'eth0',
  address: '10.0.2.100',
  prefixLength: 24,
  gateway: '10.0.2.2',
  /** Whatever is asked there goes to the first IPv4 nameserver of this machine, also one on its loopback. */
  resolver: '10.0.2.3',
} as const

/** A program that carries packets between a network namespace and the sockets of an ordinary process. */
export interface NetworkProgram {
  readonly name: 'pasta' | 'slirp4netns'
  /** How it says that all is ready (snapshotter/native/sandbox-init/modes.h). */
  readonly readiness: 'exit' | 'byte'
  /** `@`: the namespace. */
  readonly args: readonly string[]
}

const { device, address, prefixLength, gateway, resolver } = STEP_NETWORK

/**
 * In the order of preference. What both give: connections out, and to this machine by its own addresses; no way to its
 * loopback, none in. Only options that pasta has had since 2023 and still has, and slirp4netns since 0.4.
 */
export const NETWORK_PROGRAMS: readonly NetworkProgram[] = [
  {
    name: 'pasta',
    // It leaves a process of its own behind.
    readiness: 'exit',
    args: [
      ...['--quiet', '--netns', '@', '--no-netns-quit', '--config-net'],
      // Root, of our user namespace or the machine's: as another user it could not enter the namespace.
      ...['--runas', '0'],
      ...['--ns-ifname', device, '--address', address, '--netmask', String(prefixLength)],
      ...['--gateway', gateway, '--no-map-gw', '--dns-forward', resolver],
      ...['--tcp-ports', 'none', '--udp-ports', 'none', '--tcp-ns', 'none', '--udp-ns', 'none'],
    ],
  },
  {
    name: 'slirp4netns',
    readiness: 'byte',
    args: [
      ...['--configure', '--mtu=65520', '--disable-host-loopback'],
      ...['--enable-sandbox', '--enable-seccomp', '--ready-fd=3'],
      ...['--netns-type=path', '@', device],
    ],
  },
]
