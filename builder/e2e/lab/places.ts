import { existsSync } from 'node:fs'
import { chown, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CLI,
  type CommandOptions,
  type CommandResult,
  mustRun,
  PROJECT,
  runCommand,
} from './cli.ts'
import type { Lab } from './lab.ts'
import { ordinaryUser } from './user.ts'

/** An id that nobody has, so that no line of /etc/subuid is about it. */
const NOBODYS_ID = 64_999
/** What Docker leaves to the root of a container. */
const CONTAINER_CAPABILITIES = [
  ...['chown', 'dac_override', 'fowner', 'fsetid', 'kill', 'setgid', 'setuid', 'setpcap'],
  ...['net_bind_service', 'net_raw', 'sys_chroot', 'mknod', 'audit_write', 'setfcap'],
]

/** Who runs the command line and with what it may do: words before the command, which sees to it. */
export type Place = (lab: Lab) => Promise<readonly string[]>

/** The state root of builds in a place. */
export function placeRoot(lab: Lab): string {
  return join(lab.dir, 'place', 'state')
}

/** Runs the command line in a place. */
export async function runIn(
  lab: Lab,
  place: Place,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const [program = '', ...rest] = [...(await place(lab)), process.execPath, CLI, ...args]
  return await runCommand(program, rest, {
    cwd: lab.dir,
    timeoutMs: 300_000,
    ...options,
    env: lab.env({ TSBUILD_ROOT: placeRoot(lab), ...options.env }),
  })
}

/** The rung `root`. */
export async function asRoot(): Promise<readonly string[]> {
  return ['env']
}

/** An ordinary user with subordinate ids: the rung `userns-subids`. */
export async function asUserWithIds(lab: Lab): Promise<readonly string[]> {
  const { uid, gid } = await ordinaryUser()
  return await asUser(lab, uid, gid)
}

/** An ordinary user without subordinate ids: the rung `userns-single-id`. */
export async function asSingleId(lab: Lab): Promise<readonly string[]> {
  return await asUser(lab, NOBODYS_ID, NOBODYS_ID)
}

/**
 * An ordinary user to whom user namespaces are forbidden: in a child of its user namespace the limit is its own, and without
 * capabilities the process there is an ordinary one.
 */
export async function asUserWithoutNamespaces(lab: Lab): Promise<readonly string[]> {
  const script =
    'echo 0 > /proc/sys/user/max_user_namespaces && ' +
    'exec setpriv --bounding-set=-all --inh-caps=-all "$@"'
  const inside = ['unshare', '--user', '--map-root-user', 'sh', '-c', script, 'sh']
  return [...(await asUserWithIds(lab)), ...inside]
}

async function asUser(lab: Lab, uid: number, gid: number): Promise<readonly string[]> {
  await mkdir(join(lab.dir, 'place'), { recursive: true })
  await chown(join(lab.dir, 'place'), uid, gid)
  await chown(lab.dir, uid, gid)
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups']
}

/**
 * The root of a plain container, which may neither mount nor make namespaces, under Docker's capabilities and filter: the
 * rung `no-namespaces`.
 */
export async function asPlainContainer(lab: Lab): Promise<readonly string[]> {
  const program = join(lab.dir, 'plain-container')
  if (!existsSync(program)) {
    const source = join(PROJECT, 'snapshotter/native/sandbox-init')
    const files = ['testing/plain-container.c', 'seccomp.c', 'report.c']
    const sources = files.map((file) => join(source, file))
    await mustRun('cc', ['-D_GNU_SOURCE', '-o', program, ...sources])
  }
  const kept = CONTAINER_CAPABILITIES.map((name) => `+${name}`).join(',')
  return [program, 'setpriv', `--bounding-set=-all,${kept}`, '--inh-caps=-all']
}

/** Every rung, by who builds there. */
export const EVERY_PLACE: readonly (readonly [string, Place])[] = [
  ['root', asRoot],
  ['a user with subordinate ids', asUserWithIds],
  ['a user with a single id', asSingleId],
  ['the root of a plain container', asPlainContainer],
]
