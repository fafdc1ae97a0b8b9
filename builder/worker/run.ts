import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type {
  ActiveSnapshot,
  CommittedSnapshot,
  LayerDirectory,
  Snapshotter,
} from '../../snapshotter/index.ts'
import { DisposableScope, EntryFile } from '../../snapshotter/index.ts'
import { execute, type ExecuteOptions } from '../sandbox/execute.ts'
import { hostsFile } from '../sandbox/network-files.ts'
import { readHostResolvConf, resolveHosts, sandboxNetwork } from '../sandbox/network.ts'
import type { NetworkNamespace } from '../sandbox/network-namespace.ts'
import type { RecordedOwner } from '../sandbox/report.ts'
import type { SpareProgram } from '../sandbox/spare-program.ts'
import { type SandboxSpec, sandboxSpec, type SpecMount } from '../sandbox/spec.ts'
import { withMountPlaces } from './mount-places.ts'
import { openSocketProxy } from './socket-proxy.ts'
import { withRecordedOwners } from './recorded-owners.ts'
import type { RunResult, SandboxMount, StepRequest, StepResult } from './protocol.ts'

export interface RunParts {
  readonly snapshotter: Snapshotter
  /** Path of sandbox-init. */
  readonly program: string
  readonly spare: SpareProgram
  /** Of makeMountPlaces. */
  readonly places: string
  /** For sockets of this run. */
  readonly workDir: string
  /** Descriptors for `inherited` and `terminal`. */
  readonly stdio: readonly [number, number, number]
  /** Named by the result's `diff`. */
  readonly diffs: CommittedDiffs
  /** There is a single id: owners are recorded beside the files. */
  readonly recordsOwners: boolean
  /** No namespaces can be made. */
  readonly isChroot: boolean
  /** That the steps share. */
  readonly namespace: NetworkNamespace
  /** Called for each step that has the /proc of the container around it. */
  readonly onSharedProc: (isFenced: boolean) => void
}

type Control = Pick<ExecuteOptions, 'output' | 'onStart'>

/** The diffs of committed runs until they are packed. */
export class CommittedDiffs {
  readonly #byName = new Map<string, CommittedSnapshot>()
  #count = 0

  add(snapshot: CommittedSnapshot): string {
    this.#count += 1
    const name = `run-${this.#count}`
    this.#byName.set(name, snapshot)
    return name
  }

  find(name: string): CommittedSnapshot | undefined {
    return this.#byName.get(name)
  }

  get(name: string): CommittedSnapshot {
    const snapshot = this.find(name)
    if (snapshot === undefined)
      throw new TypeError(
        `no run of this worker is called ${JSON.stringify(name)}, or it is packed already`,
      )
    return snapshot
  }

  async delete(name: string): Promise<void> {
    const snapshot = this.#byName.get(name)
    this.#byName.delete(name)
    await snapshot?.changes[Symbol.asyncDispose]()
  }
}

/**
 * Prepares a snapshot, runs the process over it, and commits what it wrote if that was asked for and it ended with 0.
 * Whatever else happens, nothing of the run is left.
 */
export async function runInSandbox(
  request: StepRequest,
  parts: RunParts,
  control: Control,
  signal: AbortSignal,
): Promise<StepResult> {
  await using scope = new DisposableScope()
  if (request.network === 'default' && !parts.isChroot) parts.namespace.prepare()
  const snapshot = scope.use(await parts.snapshotter.prepare(request.layers, signal))
  const spec = await prepareSpec(request, snapshot, parts, scope, signal)
  const outcome = await execute(spec, executeOptions(request, parts, control), signal)
  const result = {
    exitCode: outcome.exitCode,
    signal: outcome.signal === 0 ? undefined : outcome.signal,
    cpuTimeMs: outcome.cpuTimeMs,
    peakMemoryBytes: outcome.peakMemoryBytes,
    hidesDirectories: false,
  }
  if (outcome.exitCode !== 0 && request.keepFailedIn !== undefined) {
    const failedFiles = await keepFailed(snapshot, request.keepFailedIn, signal)
    return { ...result, diff: undefined, failedFiles }
  }
  if (request.commitTo === undefined || outcome.exitCode !== 0)
    return { ...result, diff: undefined }
  const committed = await snapshot.commit(signal, { path: request.commitTo })
  const changes = parts.recordsOwners
    ? await ownedChanges(committed, outcome.owners, parts)
    : committed.changes
  const diff = parts.diffs.add({ ...committed, changes })
  return { ...result, diff, hidesDirectories: changes.hasOpaque }
}

async function ownedChanges(
  { changes, directory }: CommittedSnapshot,
  noted: readonly RecordedOwner[],
  { workDir }: RunParts,
): Promise<EntryFile> {
  await using _found = changes
  const newFile = (): string => join(workDir, `owned-${basename(directory.path)}`)
  return await EntryFile.of(newFile, withRecordedOwners(changes.pages(), noted))
}

/** That the step failed is what has to be told, whatever comes of keeping its files. */
async function keepFailed(
  snapshot: ActiveSnapshot,
  path: string,
  signal: AbortSignal,
): Promise<NonNullable<RunResult['failedFiles']>> {
  try {
    await using changes = (await snapshot.commit(signal, { path })).changes
    return { sizeBytes: changes.sizeBytes }
  } catch (error) {
    signal.throwIfAborted()
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

function executeOptions(request: StepRequest, parts: RunParts, control: Control): ExecuteOptions {
  const { program, spare, onSharedProc } = parts
  const base = { program, spare, onSharedProc, ...control }
  return request.stdio === 'captured' ? base : { ...base, stdio: parts.stdio }
}

async function prepareSpec(
  request: StepRequest,
  snapshot: ActiveSnapshot,
  parts: RunParts,
  scope: DisposableScope,
  signal: AbortSignal,
): Promise<SandboxSpec> {
  const network = await sandboxNetwork(request.network, parts)
  const mounts: SpecMount[] = []
  for (const mount of request.mounts) mounts.push(await prepareMount(mount, parts, scope, signal))
  return sandboxSpec(request, {
    root: withMountPlaces(snapshot.root, parts.places),
    mounts,
    network,
    hosts: hostsFile(request.hostname, await resolveHosts(request.extraHosts, network)),
    resolvConf: readHostResolvConf(network),
    hasCgroupNamespace: !parts.isChroot,
    recordsOwners: parts.recordsOwners,
    isChroot: parts.isChroot,
    ownLimits: await readFile('/proc/self/limits', 'utf8'),
  })
}

async function prepareMount(
  mount: SandboxMount,
  parts: RunParts,
  scope: DisposableScope,
  signal: AbortSignal,
): Promise<SpecMount> {
  const { target } = mount
  switch (mount.type) {
    case 'layers': {
      // A snapshot of its own also when read-only: it is two directories, and writes to it are thrown away with it.
      const tree = await prepareTree(mount.layers, parts, scope, signal)
      return { type: 'tree', target, tree, source: mount.source, isReadonly: mount.isReadonly }
    }
    case 'directory':
      return {
        type: 'tree',
        target,
        tree: { type: 'bind', dir: mount.directory },
        source: mount.source,
        isReadonly: mount.isReadonly,
      }
    case 'tmpfs':
    case 'file':
      return mount
    case 'socket': {
      const proxy = scope.use(await openSocketProxy(mount, parts.workDir, parts))
      return { type: 'socket', target, socket: proxy.path }
    }
    default:
      return mount satisfies never
  }
}

async function prepareTree(
  layers: readonly LayerDirectory[],
  parts: RunParts,
  scope: DisposableScope,
  signal: AbortSignal,
): Promise<ActiveSnapshot['root']> {
  return scope.use(await parts.snapshotter.prepare(layers, signal)).root
}
