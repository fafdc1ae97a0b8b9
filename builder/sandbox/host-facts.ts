import { accessSync, constants, readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { errnoOf } from '../../snapshotter/index.ts'

export interface IdRange {
  readonly start: number
  readonly count: number
}

/** What decides how steps can be isolated on this machine. */
export interface HostFacts {
  readonly uid: number
  readonly gid: number
  /** Undefined where the uid has no account. */
  readonly userName: string | undefined
  readonly hasSysAdmin: boolean
  readonly hasSysChroot: boolean
  /** Set-user-id bits and file capabilities give nothing, so helpers have no power of their own. */
  readonly hasNoNewPrivileges: boolean
  /** How many ids from 0 on we have and may map (CAP_SETUID, CAP_SETGID); undefined without that power. */
  readonly ownIds: number | undefined
  /** Undefined where the kernel does not say. */
  readonly userNamespacesMax: number | undefined
  readonly isUnprivilegedCloneAllowed: boolean | undefined
  readonly isAppArmorRestricting: boolean
  readonly newuidmap: string | undefined
  readonly newgidmap: string | undefined
  readonly subuids: readonly IdRange[]
  readonly subgids: readonly IdRange[]
}

const CAP_SETGID = 6n
const CAP_SETUID = 7n
const CAP_SYS_CHROOT = 18n
const CAP_SYS_ADMIN = 21n
/** Set-user-id helpers may lie where an ordinary PATH does not look. */
const SYSTEM_DIRECTORIES = ['/usr/bin', '/bin', '/usr/sbin', '/sbin', '/usr/local/bin']

/** Looks at this process and machine. */
export function readHostFacts(searchPath: string = process.env['PATH'] ?? ''): HostFacts {
  const uid = process.geteuid?.() ?? -1
  const gid = process.getegid?.() ?? -1
  const userName = ownName()
  const status = readIfThere('/proc/self/status') ?? ''
  const max = readIfThere('/proc/sys/user/max_user_namespaces')
  const clone = readIfThere('/proc/sys/kernel/unprivileged_userns_clone')
  return {
    uid,
    gid,
    userName,
    hasSysAdmin: hasCapability(status, CAP_SYS_ADMIN),
    hasSysChroot: hasCapability(status, CAP_SYS_CHROOT),
    hasNoNewPrivileges: /^NoNewPrivs:\s*1$/m.test(status),
    ownIds: ownIds(status),
    userNamespacesMax: max === undefined ? undefined : Number(max),
    isUnprivilegedCloneAllowed: clone === undefined ? undefined : clone.trim() !== '0',
    isAppArmorRestricting:
      readIfThere('/proc/sys/kernel/apparmor_restrict_unprivileged_userns')?.trim() === '1',
    newuidmap: findProgram('newuidmap', searchPath),
    newgidmap: findProgram('newgidmap', searchPath),
    subuids: idRanges(readIfThere('/etc/subuid') ?? '', { uid, userName }),
    subgids: idRanges(readIfThere('/etc/subgid') ?? '', { uid, userName }),
  }
}

/** The ranges of one user in a file of subuid(5); lines that are not of its form are not for us. */
export function idRanges(
  text: string,
  user: { readonly uid: number; readonly userName: string | undefined },
): IdRange[] {
  return text.split('\n').flatMap((line) => {
    const match = /^([^:]+):(\d+):(\d+)$/.exec(line.trim())
    const [, owner, start, count] = match ?? []
    if (owner === undefined || (owner !== user.userName && owner !== String(user.uid))) return []
    return [{ start: Number(start), count: Number(count) }]
  })
}

/** Whether the effective set of a /proc/PID/status has a capability. */
export function hasCapability(status: string, bit: bigint): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1]
  return mask !== undefined && ((BigInt(`0x${mask}`) >> bit) & 1n) === 1n
}

function ownIds(status: string): number | undefined {
  if (!hasCapability(status, CAP_SETUID) || !hasCapability(status, CAP_SETGID)) return undefined
  const counts = ['/proc/self/uid_map', '/proc/self/gid_map'].map((file) =>
    Number(/^\s*0\s+\d+\s+(\d+)/.exec(readIfThere(file) ?? '')?.[1] ?? 0),
  )
  const count = Math.min(...counts)
  return count > 1 ? count : undefined
}

function ownName(): string | undefined {
  try {
    return userInfo().username
  } catch {
    // No account for this uid, as in many CI containers.
    return undefined
  }
}

/** Path of an installed program; `searchPath` as in PATH. */
export function findProgram(name: string, searchPath: string): string | undefined {
  const directories = [
    ...searchPath.split(':').filter((directory) => directory.startsWith('/')),
    ...SYSTEM_DIRECTORIES,
  ]
  return directories.map((directory) => join(directory, name)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'EACCES') return undefined
    throw error
  }
}
