import type { RunNode } from '../../frontend/index.ts'
import type { LayerDirectory } from '../../snapshotter/index.ts'
import { BuildError } from '../errors.ts'
import type { BuildRequest } from '../request.ts'
import type { Step } from '../solver/steps.ts'
import type {
  ResourceLimits,
  RunRequest,
  RunResult,
  SandboxMount,
  Worker,
} from '../worker/protocol.ts'
import { checkDevices } from './cdi-devices.ts'
import { missingEmulator } from './foreign-platform.ts'
import { OutputTail } from './output-tail.ts'

/** Docker's default when `--shm-size` is not given (features row X11). */
const SHM_BYTES_DEFAULT = 64 * 1024 * 1024
/** Features row D52. */
const HOSTNAME_DEFAULT = 'buildkitsandbox'
const OUTPUT_TAIL_LINES = 20

/** What the command line says about every RUN. */
export type RunOptions = Pick<
  BuildRequest,
  'network' | 'extraHosts' | 'ulimits' | 'shmSizeBytes' | 'cgroupParent' | 'limits' | 'allow'
>

/** Mounts and variables of a step, ready: made by run-mounts.ts. */
export interface PreparedMounts {
  readonly mounts: readonly SandboxMount[]
  readonly env: readonly string[]
}

export interface RunStep {
  readonly node: RunNode
  readonly layers: readonly LayerDirectory[]
  readonly prepared: PreparedMounts
  readonly options: RunOptions
  /** New directory for what the step writes. */
  readonly commitTo: string
  readonly keeping: Keeping | undefined
}

/** Where a failed command's files go, and who is told; gives the step's name. */
export interface Keeping {
  readonly directory: string
  readonly keep: (files: RunResult['failedFiles'], reason: string) => string
}

/** The network that a RUN gets: its own flag, else the build's. */
export function networkOf(node: RunNode, options: RunOptions): 'default' | 'none' | 'host' {
  return node.network === 'default' ? options.network : node.network
}

export function hostnameOf(node: RunNode): string {
  return node.hostname ?? HOSTNAME_DEFAULT
}

/** Refuses what needs `--allow` and did not get it (features rows D76, D77). Errors: `entitlement-missing`, `unsupported`. */
export function checkEntitlements(node: RunNode, options: RunOptions): void {
  const needed: string[] = []
  if (networkOf(node, options) === 'host') {
    needed.push('network.host')
  }
  if (node.security === 'insecure') {
    needed.push('security.insecure')
  }
  const missing = needed.find((entitlement) => !options.allow.includes(entitlement))
  if (missing !== undefined) {
    throw new BuildError(
      'entitlement-missing',
      `could not run the step: ${missing} is not allowed; run tsbuild with --allow ${missing}`,
    )
  }
  checkDevices(node.devices)
}

/**
 * Runs one RUN over its layers; what it wrote is then at `commitTo` and is named by the result's `diff`.
 * Errors: `step-failed` when the process did not end with 0 (text of features row X37), `sandbox-*` from the worker.
 */
export async function executeRun(
  run: RunStep,
  worker: Worker,
  step: Step,
  signal: AbortSignal,
): Promise<RunResult & { readonly diff: string }> {
  const tail = new OutputTail(OUTPUT_TAIL_LINES)
  const result = await worker.run(
    requestOf(run),
    (stream, bytes) => step.log(stream, tail.add(stream, bytes)),
    signal,
  )
  if (result.exitCode !== 0 || result.diff === undefined) {
    signal.throwIfAborted()
    const reason = failureReason(result, run.options.limits)
    const { exitCode } = result
    const emulator = missingEmulator(run.node.platform, { exitCode, lastLine: tail.lines.at(-1) })
    const failedStep = run.keeping?.keep(result.failedFiles, reason)
    throw new BuildError(
      'step-failed',
      `process ${JSON.stringify(run.node.display)} did not complete successfully: ${reason}` +
        (emulator === undefined ? '' : `: ${emulator}`),
      {
        exitCode,
        outputTail: tail.lines,
        ...(failedStep === undefined ? {} : { failedStep }),
      },
    )
  }
  return { ...result, diff: result.diff }
}

/** Why a step failed, in BuildKit's words (features rows X16, X37), with what it had of memory and took. */
export function failureReason(
  result: Pick<RunResult, 'exitCode' | 'isOutOfMemory' | 'peakMemoryBytes'>,
  limits: ResourceLimits,
): string {
  if (!result.isOutOfMemory) return `exit code: ${result.exitCode}`
  const { memoryBytes } = limits
  const facts = [
    ...(memoryBytes === undefined ? [] : [`limit ${inMebibytes(memoryBytes)}`]),
    ...(result.peakMemoryBytes === undefined
      ? []
      : [`peak ${inMebibytes(result.peakMemoryBytes)}`]),
  ]
  return `cannot allocate memory${facts.length === 0 ? '' : ` (${facts.join(', ')})`}`
}

function inMebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`
}

function requestOf(run: RunStep): RunRequest {
  const { node, layers, prepared, options, commitTo, keeping } = run
  return {
    layers,
    args: node.args,
    env: [...node.env, ...node.proxyEnv, ...prepared.env],
    cwd: node.cwd,
    user: node.user,
    security: node.security,
    mounts: prepared.mounts,
    ...surroundingsOf(node, options),
    stdio: 'captured',
    commitTo,
    ...(keeping === undefined ? {} : { keepFailedIn: keeping.directory }),
  }
}

/** What the step is given besides its own instruction. */
export function surroundingsOf(
  node: RunNode,
  options: RunOptions,
): Pick<
  RunRequest,
  'hostname' | 'network' | 'extraHosts' | 'ulimits' | 'shmSizeBytes' | 'cgroupParent' | 'limits'
> {
  return {
    hostname: hostnameOf(node),
    network: networkOf(node, options),
    extraHosts: options.extraHosts,
    ulimits: options.ulimits,
    shmSizeBytes: options.shmSizeBytes ?? SHM_BYTES_DEFAULT,
    cgroupParent: options.cgroupParent,
    limits: options.limits,
  }
}
