import { getSystemErrorName } from 'node:util'
import type { WorkerInfo } from './protocol.ts'

/** How layers can be mounted here, as sandbox-init found out: overlayfs with trusted.* or user.* attributes, or not at all. */
export type OverlaySupport = 'trusted' | 'user' | { readonly reason: string }

export interface WorkerArguments {
  /** The planner's directory for unfinished things. */
  readonly workDir: string
  /** Where sandbox-init tried to mount layers. */
  readonly probeDir: string
  readonly rung: WorkerInfo['rung']
  readonly notice: string | undefined
  readonly overlay: OverlaySupport
}

const OVERLAY_VARIABLE = 'TSBUILD_WORKER_OVERLAY'

/** What follows `worker/main.js` on its command line; the reading side is `readWorkerArguments`. */
export function writeWorkerArguments(given: Omit<WorkerArguments, 'overlay'>): string[] {
  return [given.workDir, given.probeDir, given.rung, given.notice ?? '']
}

/** Throws a TypeError for anything that client.ts and sandbox-init do not give. */
export function readWorkerArguments(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): WorkerArguments {
  const [workDir, probeDir, rung, notice, ...rest] = argv
  if (
    workDir === undefined ||
    probeDir === undefined ||
    !isRung(rung) ||
    notice === undefined ||
    rest.length > 0
  ) {
    throw new TypeError('the worker is started by tsbuild, not by hand')
  }
  return {
    workDir,
    probeDir,
    rung,
    notice: notice === '' ? undefined : notice,
    overlay: readOverlay(env[OVERLAY_VARIABLE]),
  }
}

function isRung(value: unknown): value is WorkerInfo['rung'] {
  return (
    value === 'root' ||
    value === 'userns-subids' ||
    value === 'userns-single-id' ||
    value === 'no-namespaces'
  )
}

function readOverlay(value: string | undefined): OverlaySupport {
  if (value === 'trusted' || value === 'user') return value
  const errno = /^error:(\d+)$/.exec(value ?? '')?.[1]
  if (errno === undefined) throw new TypeError(`${OVERLAY_VARIABLE} is ${JSON.stringify(value)}`)
  return { reason: getSystemErrorName(-Number(errno)) }
}
