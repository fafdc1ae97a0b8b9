import { posix } from 'node:path'
import type { RootMount } from '../../snapshotter/index.ts'
import type { StepRequest } from '../worker/protocol.ts'
import {
  ALL_CAPABILITIES,
  DEFAULT_CAPABILITIES,
  MASKED_PATHS,
  READONLY_PATHS,
  SYS_CHROOT,
} from './docker-defaults.ts'
import { sandboxEnvironment } from './environment.ts'
import { SandboxError } from './errors.ts'
import { resourceLimits, type ResourceLimit } from './ulimits.ts'

/** What sandbox-init is asked to do (snapshotter/native/sandbox-init/spec.h), before encoding. */
export interface SandboxSpec {
  readonly stdio: StepRequest['stdio']
  readonly network: SandboxNetwork
  readonly hasCgroupNamespace: boolean
  readonly isConfined: boolean
  /** No namespaces, no mounts (snapshotter/native/sandbox-init/chroot.h). */
  readonly isChroot: boolean
  /** There is a single id: owners are recorded beside the files (snapshotter/native/sandbox-init/owners.h). */
  readonly recordsOwners: boolean
  readonly capabilities: bigint
  readonly shmSizeBytes: number
  readonly root: RootMount
  readonly args: readonly string[]
  readonly env: readonly string[]
  readonly cwd: string
  readonly user: string
  readonly hostname: string
  readonly maskedPaths: readonly string[]
  readonly readonlyPaths: readonly string[]
  /** `cgroup.procs` files that the step's first process joins. */
  readonly cgroupProcs: readonly string[]
  /** In the order in which they are mounted. */
  readonly mounts: readonly SpecMount[]
  readonly limits: readonly ResourceLimit[]
}

/** `shared`: the network of the worker; `join`: a namespace by its path. */
export type SandboxNetwork =
  | { readonly kind: 'shared' }
  | { readonly kind: 'none' }
  | { readonly kind: 'join'; readonly path: string }

export type SpecMount =
  | {
      readonly type: 'tree'
      readonly target: string
      readonly tree: RootMount
      readonly source: string
      readonly isReadonly: boolean
    }
  | {
      readonly type: 'tmpfs'
      readonly target: string
      readonly sizeBytes: number | undefined
      readonly isReadonly: boolean
    }
  | {
      readonly type: 'file'
      readonly target: string
      readonly content: Uint8Array
      readonly mode: number
      readonly uid: number
      readonly gid: number
    }
  | { readonly type: 'socket'; readonly target: string; readonly socket: string }

/** What a request becomes on this machine. */
export interface SpecSurroundings {
  readonly root: RootMount
  /** The request's mounts with their trees prepared, in the order written. */
  readonly mounts: readonly SpecMount[]
  readonly network: SandboxNetwork
  readonly hosts: string
  readonly resolvConf: string
  readonly hasCgroupNamespace: boolean
  readonly recordsOwners: boolean
  readonly isChroot: boolean
  /** The text of /proc/self/limits. */
  readonly ownLimits: string
}

/** Turns a request into the spec of one run. Errors: `sandbox-mount-invalid`, `sandbox-limit-unsupported`. */
export function sandboxSpec(request: StepRequest, surroundings: SpecSurroundings): SandboxSpec {
  const isConfined = isSandboxed(request.security)
  return {
    stdio: request.stdio,
    network: surroundings.network,
    hasCgroupNamespace: surroundings.hasCgroupNamespace,
    isConfined,
    recordsOwners: surroundings.recordsOwners,
    isChroot: surroundings.isChroot,
    capabilities: capabilitiesOf(isConfined, surroundings.isChroot),
    shmSizeBytes: request.shmSizeBytes,
    root: surroundings.root,
    args: request.args,
    env: sandboxEnvironment(request.env, request.stdio === 'terminal'),
    cwd: request.cwd === '' ? '/' : request.cwd,
    user: request.user,
    hostname: request.hostname,
    maskedPaths: isConfined ? MASKED_PATHS : [],
    readonlyPaths: isConfined ? READONLY_PATHS : [],
    cgroupProcs: request.cgroupProcs,
    mounts: orderedMounts(
      [
        systemFile('/etc/resolv.conf', surroundings.resolvConf),
        systemFile('/etc/hosts', surroundings.hosts),
      ],
      surroundings.mounts,
    ),
    limits: resourceLimits(request.ulimits, surroundings.ownLimits),
  }
}

/** Whoever may call chroot(2) leaves the root that is only a chroot. */
function capabilitiesOf(isConfined: boolean, isChroot: boolean): bigint {
  const all = isConfined ? DEFAULT_CAPABILITIES : ALL_CAPABILITIES
  return isChroot ? all & ~SYS_CHROOT : all
}

/** Anything but the two known words must not take the lax branch (GHSA-7236-3392-c5c6). */
function isSandboxed(security: string): boolean {
  if (security === 'sandbox') return true
  if (security === 'insecure') return false
  throw new SandboxError(
    'sandbox-setup-failed',
    `could not run the step: unknown security mode ${JSON.stringify(security)}`,
  )
}

function systemFile(target: string, text: string): SpecMount {
  return { type: 'file', target, content: Buffer.from(text), mode: 0o644, uid: 0, gid: 0 }
}

/**
 * The order of BuildKit: what every step has, so that a mount on /etc hides it; filesystems, parents before what lies in
 * them; files and sockets as written. Of two mounts on one target the last written wins (features row D67).
 */
export function orderedMounts(
  system: readonly SpecMount[],
  requested: readonly SpecMount[],
): SpecMount[] {
  const byTarget = new Map<string, { readonly mount: SpecMount; readonly rank: number }>()
  for (const [index, mount] of [...system, ...requested].entries()) {
    const target = mountTarget(mount.target)
    const isFilesystem = mount.type === 'tree' || mount.type === 'tmpfs'
    const rank = index < system.length ? 0 : isFilesystem ? 1 : 2
    byTarget.set(target, { mount: { ...mount, target }, rank })
  }
  return [...byTarget.values()]
    .sort((a, b) => a.rank - b.rank || (a.rank === 1 ? byBytes(a.mount.target, b.mount.target) : 0))
    .map(({ mount }) => mount)
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function mountTarget(target: string): string {
  const clean = posix.join('/', target).replace(/(?<=.)\/+$/, '')
  if (clean === '/') {
    throw new SandboxError(
      'sandbox-mount-invalid',
      `could not mount on ${JSON.stringify(target)}: the root itself cannot be a target`,
    )
  }
  return clean
}
