/** Bits of linux/capability.h by name: Docker's default set and `all` (features rows X2, D77). */
const CAPABILITY_BITS = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  FOWNER: 3,
  FSETID: 4,
  KILL: 5,
  SETGID: 6,
  SETUID: 7,
  SETPCAP: 8,
  NET_BIND_SERVICE: 10,
  NET_RAW: 13,
  SYS_CHROOT: 18,
  MKNOD: 27,
  AUDIT_WRITE: 29,
  SETFCAP: 31,
} as const

export const SYS_CHROOT: bigint = 1n << BigInt(CAPABILITY_BITS.SYS_CHROOT)

/** The 14 capabilities of a Docker container. */
export const DEFAULT_CAPABILITIES: bigint = Object.values(CAPABILITY_BITS).reduce(
  (mask, bit) => mask | (1n << BigInt(bit)),
  0n,
)

/** For `--security=insecure`; sandbox-init takes away what the builder itself does not have. */
export const ALL_CAPABILITIES: bigint = (1n << 64n) - 1n

/** Features row X6. */
export const MASKED_PATHS: readonly string[] = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
]

/** Features row X7. */
export const READONLY_PATHS: readonly string[] = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
]
