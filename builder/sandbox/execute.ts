import type { ChildProcess } from 'node:child_process'
import { Duplex } from 'node:stream'
import { getSystemErrorName } from 'node:util'
import { errnoOf } from '../../snapshotter/index.ts'
import { encodeSpec, type EncodeOptions } from './encode-spec.ts'
import { SandboxError } from './errors.ts'
import { type RecordedOwner, ReportReader, type SandboxReport } from './report.ts'
import type { SandboxSpec } from './spec.ts'
import { type SpareProgram, startProgram } from './spare-program.ts'
import { limitName } from './ulimits.ts'

export interface ExecuteOptions extends EncodeOptions {
  /** Path of sandbox-init. */
  readonly program: string
  /** Of the same program: gives the process of a captured step, and is told when there is time to start the next. */
  readonly spare?: SpareProgram
  /** Awaited: a slow reader slows the step down, as a pipe would. */
  readonly output: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => void | Promise<void>
  /** Called when the step has the /proc of the container around it. */
  readonly onSharedProc?: (isFenced: boolean) => void
  /** For `inherited` and `terminal`: descriptors of this process that become the step's 0, 1 and 2. */
  readonly stdio?: readonly [number, number, number]
  /** Is given a function that tells sandbox-init of a new window size. */
  readonly onStart?: (control: { readonly resize: () => void }) => void
}

export type Outcome = Omit<Extract<SandboxReport, { type: 'exit' }>, 'type'> & {
  /** Where owners are recorded: those of what has no attributes. */
  readonly owners: readonly RecordedOwner[]
}

/** Time that sandbox-init has for killing the step before it is killed itself. */
const KILL_GRACE_MS = 1000

/**
 * Runs one process in a sandbox and returns how it ended. An abort kills everything in the sandbox and rejects with the
 * signal's reason once it is gone.
 * Errors: `sandbox-setup-failed`, `sandbox-user-unknown`, `sandbox-mount-invalid`, `sandbox-limit-unsupported`, `sandbox-died`.
 */
export async function execute(
  spec: SandboxSpec,
  options: ExecuteOptions,
  signal: AbortSignal,
): Promise<Outcome> {
  signal.throwIfAborted()
  const spare = options.stdio === undefined ? options.spare : undefined
  const { child, ended } = spare?.take() ?? startProgram(options.program, options.stdio)
  options.onStart?.({ resize: () => child.kill('SIGWINCH') })
  const stop = (): void => stopChild(child)
  signal.addEventListener('abort', stop, { once: true })
  try {
    const owners: RecordedOwner[] = []
    const last = await converse(channelOf(child), spec, options, owners)
    // A step that has ended is all gone when that is reported; only sandbox-init itself has still to take its leave,
    // which is not worth waiting for.
    if (last?.type === 'exit' && !signal.aborted) {
      const { type: _, ...outcome } = last
      return { ...outcome, owners }
    }
    const status = await ended
    signal.throwIfAborted()
    if (last?.type === 'failure') throw setupError(last)
    throw new SandboxError('sandbox-died', `could not run the step: sandbox-init ${status}`)
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

type LastReport = Extract<SandboxReport, { type: 'exit' | 'failure' }>

async function converse(
  channel: Duplex,
  spec: SandboxSpec,
  options: ExecuteOptions,
  owners: RecordedOwner[],
): Promise<LastReport | undefined> {
  channel.write(encodeSpec(spec, options))
  options.spare?.prepare()
  const reader = new ReportReader()
  try {
    for await (const chunk of channel) {
      for (const report of reader.add(chunk)) {
        if (report.type === 'output') await options.output(report.stream, report.bytes)
        else if (report.type === 'owner') owners.push(report.owner)
        else if (report.type === 'shared-proc') options.onSharedProc?.(report.isFenced)
        else return report
      }
    }
  } catch (error) {
    if (!isConnectionEnd(error)) throw error
  }
  return undefined
}

function isConnectionEnd(error: unknown): boolean {
  return errnoOf(error) === 'ECONNRESET' || errnoOf(error) === 'EPIPE'
}

function channelOf(child: ChildProcess): Duplex {
  const channel = child.stdio[3]
  if (!(channel instanceof Duplex))
    throw new TypeError('descriptor 3 of sandbox-init is not a socket')
  return channel
}

function stopChild(child: ChildProcess): void {
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), KILL_GRACE_MS)
  child.once('exit', () => clearTimeout(timer))
}

function setupError({
  step,
  errno,
  detail,
}: Extract<SandboxReport, { type: 'failure' }>): SandboxError {
  const reason = errno === 0 ? '' : ` (${getSystemErrorName(-errno)})`
  const details = { step, errno }
  if (errno !== 0 && getSystemErrorName(-errno) === 'ENOSYS') {
    const message = `could not set up the sandbox: ${step}: this kernel is too old or hides system calls (Linux 5.12 is needed): ${detail}`
    return new SandboxError('sandbox-unavailable', message, details)
  }
  switch (step) {
    case 'user':
      return new SandboxError(
        'sandbox-user-unknown',
        `could not run the step: ${detail}${reason}`,
        details,
      )
    case 'ulimit': {
      const [resource, values] = detail.split(' ')
      return new SandboxError(
        'sandbox-limit-unsupported',
        `could not set ulimit ${limitName(Number(resource))}=${values}${reason}: it is more than this machine or user allows`,
        details,
      )
    }
    case 'mount':
    case 'mount-source': {
      const isMissing = step === 'mount-source' && reason === ' (ENOENT)'
      return new SandboxError(
        'sandbox-mount-invalid',
        `could not mount: ${detail}${isMissing ? ': not found' : reason}`,
        details,
      )
    }
    default:
      return new SandboxError(
        'sandbox-setup-failed',
        `could not set up the sandbox: ${step}: ${detail}${reason}`,
        details,
      )
  }
}
