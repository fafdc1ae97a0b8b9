import { SandboxError } from './errors.ts'
import type { HostFacts, IdRange } from './host-facts.ts'

/** A way of isolating steps, and the options of `sandbox-init worker` that take it. */
export interface Rung {
  readonly rung: 'root' | 'userns-subids' | 'userns-single-id' | 'no-namespaces'
  readonly options: readonly string[]
  /** What is lost, if anything. */
  readonly notice: string | undefined
}

/** Ids that images use; fewer leave some files without an owner (features row X45). */
const IDS_WANTED = 65_536

/**
 * The highest rung that this machine offers (design.md, "Rootless is a ladder").
 * Errors: `sandbox-unavailable` with the cause and what to change.
 */
export function chooseRung(facts: HostFacts): Rung {
  if (facts.uid === 0 && facts.hasSysAdmin) return { rung: 'root', options: [], notice: undefined }
  if (facts.userNamespacesMax === 0) return withoutNamespaces(facts, NAMESPACES_OFF)
  if (facts.isUnprivilegedCloneAllowed === false) return withoutNamespaces(facts, CLONE_OFF)
  if (facts.uid === 0 && facts.ownIds !== undefined) return allIdsRung(facts.ownIds)
  const range = subordinateIds(facts)
  if ('missing' in range) return singleIdRung(facts, range)
  const { uids, gids, newuidmap, newgidmap } = range
  return {
    rung: 'userns-subids',
    options: [
      '--userns',
      ...['--newuidmap', newuidmap, '--uid-map', idMap(facts.uid, uids)],
      ...['--newgidmap', newgidmap, '--gid-map', idMap(facts.gid, gids)],
    ],
    notice: noticeFor(Math.min(uids.count, gids.count) + 1),
  }
}

/** Root of a container that may not mount but has its ids: a namespace with all of them. */
function allIdsRung(count: number): Rung {
  return {
    rung: 'userns-subids',
    options: [
      '--userns',
      '--privileged-map',
      ...['--uid-map', `0 0 ${count}`, '--gid-map', `0 0 ${count}`],
    ],
    notice: noticeFor(count),
  }
}

/**
 * The last rung: container root without any namespace, by chroot(2). Errors: `sandbox-unavailable` for whoever may not
 * even do that, with the cause and the fix of the rung above.
 */
function withoutNamespaces(
  facts: Pick<HostFacts, 'uid' | 'hasSysChroot'>,
  [cause, fix]: readonly [string, string],
): Rung {
  if (facts.uid !== 0 || !facts.hasSysChroot) throw unavailable(cause, fix)
  return {
    rung: 'no-namespaces',
    options: ['--no-namespaces'],
    notice:
      `steps run by chroot only, as root of this container: they share its processes, network, devices and host name, have no /proc and no /sys, ` +
      `are kept in by no filter of ours, and each copies its root filesystem (${cause}; ${fix})`,
  }
}

/** What a better rung would take. */
interface Lack {
  readonly missing: string
  readonly fix: string
}

/** The rung with one id: the other owners are recorded beside the files (features row X45). */
export function singleIdRung({ uid, gid }: Pick<HostFacts, 'uid' | 'gid'>, lack?: Lack): Rung {
  return {
    rung: 'userns-single-id',
    options: ['--userns', '--uid-map', `0 ${uid} 1`, '--gid-map', `0 ${gid} 1`],
    notice:
      lack === undefined
        ? undefined
        : `${lack.missing}, so steps have a single user id: other owners are recorded, not enforced (${lack.fix})`,
  }
}

/**
 * The rung to try after `failed` could not be started with `error`; undefined: the error stands. What could not be known
 * before it was tried: a helper without the power to write maps, and namespaces that are refused.
 */
export function rungBelow(failed: Rung, error: unknown, facts: HostFacts): Rung | undefined {
  const lack = refusedHelper(failed, error, facts)
  if (lack !== undefined) return singleIdRung(facts, lack)
  const refused = refusedNamespaces(error)
  if (refused === undefined || failed.rung === 'no-namespaces') return undefined
  return facts.uid === 0 && facts.hasSysChroot ? withoutNamespaces(facts, refused) : undefined
}

/** Why newuidmap or newgidmap did not give the ids. Where AppArmor is in the way it is in that of one id too. */
function refusedHelper(failed: Rung, error: unknown, facts: HostFacts): Lack | undefined {
  if (!failed.options.includes('--newuidmap') || !(error instanceof SandboxError)) return undefined
  if (error.details.step !== 'id-map' || isAppArmorAtWork(facts)) return undefined
  return idMapLack(error.details.lastWords ?? '', facts)
}

interface SubordinateIds {
  readonly uids: IdRange
  readonly gids: IdRange
  readonly newuidmap: string
  readonly newgidmap: string
}

/** What a map of many ids needs, or the first thing that is missing for it. */
function subordinateIds(facts: HostFacts): SubordinateIds | Lack {
  const { newuidmap, newgidmap } = facts
  if (newuidmap === undefined || newgidmap === undefined) {
    return {
      missing: `${newuidmap === undefined ? 'newuidmap' : 'newgidmap'} is not installed`,
      fix: 'install the uidmap package (Debian, Ubuntu) or shadow-utils (Fedora)',
    }
  }
  const uids = largestOf(facts.subuids)
  const gids = largestOf(facts.subgids)
  if (uids === undefined) return missingRange(facts, '/etc/subuid', '--add-subuids')
  if (gids === undefined) return missingRange(facts, '/etc/subgid', '--add-subgids')
  return { uids, gids, newuidmap, newgidmap }
}

function largestOf(ranges: readonly IdRange[]): IdRange | undefined {
  return ranges.filter(({ count }) => count > 0).toSorted((a, b) => b.count - a.count)[0]
}

function missingRange(facts: HostFacts, file: string, option: string): Lack {
  const name = facts.userName ?? String(facts.uid)
  return {
    missing: `${file} has no range of ids for ${name}`,
    fix: `as root: usermod ${option} 100000-165535 ${name}`,
  }
}

const NAMESPACES_OFF = [
  'user namespaces are switched off (user.max_user_namespaces is 0)',
  'as root: sysctl -w user.max_user_namespaces=65536',
] as const
const CLONE_OFF = [
  'user namespaces are not allowed for ordinary users (kernel.unprivileged_userns_clone is 0)',
  'as root: sysctl -w kernel.unprivileged_userns_clone=1',
] as const

/** Root inside is the user outside; the others are of the range. */
function idMap(own: number, range: IdRange): string {
  return `0 ${own} 1 1 ${range.start} ${Math.min(range.count, IDS_WANTED * 16)}`
}

function noticeFor(count: number): string | undefined {
  if (count >= IDS_WANTED) return undefined
  return `only ${count} user ids are available (of ${IDS_WANTED}): files of other ids cannot be made`
}

/** Why the holder of the namespaces could not start, out of what it printed (features rows X45-X48). */
export function explainStart(printed: string, facts: HostFacts): SandboxError | undefined {
  const match = /^sandbox-init: ([a-z-]+): (.*) \(errno (\d+): (.*)\)$/m.exec(printed)
  if (match === null) return undefined
  const [, step = '', detail = '', errno = '', words = ''] = match
  const details = { step, errno: Number(errno), lastWords: printed }
  const isGuarded = ['user-namespace', 'id-map', 'mounts', 'protect'].includes(step)
  if (isGuarded && isAppArmorAtWork(facts)) return unavailable(...APPARMOR, details)
  if (step === 'user-namespace' && errno === '28') return unavailable(...NAMESPACES_OFF, details)
  if (step === 'user-namespace' && errno === '1') return unavailable(...FORBIDDEN, details)
  if (['namespaces', 'mounts', 'protect'].includes(step) && (errno === '1' || errno === '13')) {
    return unavailable(...FORBIDDEN, details)
  }
  if (step === 'id-map') {
    const { missing, fix } = idMapLack(printed, facts)
    return unavailable(missing, fix, details)
  }
  return new SandboxError(
    'sandbox-unavailable',
    `could not start the worker: ${step}: ${detail}: ${words}`,
    details,
  )
}

function isAppArmorAtWork(facts: HostFacts): boolean {
  return facts.isAppArmorRestricting && facts.uid !== 0
}

/** Why the ids were not mapped: what the helper said of it, and what it would take. */
function idMapLack(printed: string, facts: HostFacts): Lack {
  const lines = printed.split('\n')
  const said =
    lines.find((line) => /^new[ug]idmap:/.test(line)) ??
    lines.find((line) => line.startsWith('sandbox-init: id-map: '))
  const missing = `the id map was refused (${said ?? 'without a word'})`
  if (facts.hasNoNewPrivileges) return { missing: `${missing} under no_new_privs`, fix: PRIVILEGES }
  return { missing, fix: HELPER_POWER }
}

const PRIVILEGES =
  'run without --security-opt no-new-privileges, in Kubernetes with allowPrivilegeEscalation: true, under systemd ' +
  'without NoNewPrivileges=yes'
const HELPER_POWER =
  'check the ranges in /etc/subuid and /etc/subgid, and that newuidmap is set-user-id root on a mount without nosuid; ' +
  'in a container, whose root may not do this, it needs capabilities instead, as root: chmod u-s /usr/bin/newuidmap ' +
  '/usr/bin/newgidmap; setcap cap_setuid=ep /usr/bin/newuidmap; setcap cap_setgid=ep /usr/bin/newgidmap'

/** Whether the worker could not start because namespaces are refused, and with which words. */
function refusedNamespaces(error: unknown): readonly [string, string] | undefined {
  if (!(error instanceof SandboxError) || error.code !== 'sandbox-unavailable') return undefined
  return [APPARMOR, FORBIDDEN, NAMESPACES_OFF].find(([cause]) => error.message.includes(cause))
}

const APPARMOR = [
  'AppArmor does not let ordinary users use user namespaces (kernel.apparmor_restrict_unprivileged_userns is 1)',
  'as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or give sandbox-init an AppArmor profile with "userns,"',
] as const
const FORBIDDEN = [
  'making namespaces is forbidden here (a container with a seccomp or AppArmor profile?)',
  'run the container with --privileged, or with --security-opt seccomp=unconfined --security-opt apparmor=unconfined',
] as const

function unavailable(
  cause: string,
  fix: string,
  details: ConstructorParameters<typeof SandboxError>[2] = {},
): SandboxError {
  return new SandboxError(
    'sandbox-unavailable',
    `could not isolate steps: ${cause}; ${fix}`,
    details,
  )
}
