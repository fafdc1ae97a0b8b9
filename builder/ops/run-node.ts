import type { NodeId, RunNode } from '../../frontend/index.ts'
import { formatPlatform } from '../../registry-client/oci/index.ts'
import type { Store } from '../../snapshotter/index.ts'
import { parentName, type RunInputs } from '../solver/cache-key.ts'
import { type BuildLayer, knownDiffIds, type LayerStack, packedDiffIds } from '../solver/layer.ts'
import type { Limits } from '../solver/limits.ts'
import type { StepUsage } from '../cache/records.ts'
import type { FirstUse, RunResult, Worker } from '../worker/protocol.ts'
import type { StepCache } from './cached-step.ts'
import type { FailedRun, FailedStepKeeper } from './keep-failed.ts'
import { keyMounts } from './key-mounts.ts'
import type { LayerAccess } from './layer-access.ts'
import { packedBlob } from './pack-entries.ts'
import { packRun, type PackRunParts } from './pack-run.ts'
import {
  checkEntitlements,
  executeRun,
  hostnameOf,
  type Keeping,
  networkOf,
  type RunOptions,
} from './run.ts'
import type { MountSource } from './mountable.ts'
import { type MountParts, prepareMounts } from './run-mounts.ts'
import type { StepPlace } from './step-place.ts'

export interface RunNodeParts extends PackRunParts {
  readonly cache: StepCache
  readonly access: LayerAccess
  readonly limits: Limits
  readonly store: Pick<Store, 'blobs' | 'layers' | 'lease' | 'root'>
  readonly workerFor: (use: FirstUse) => Promise<Worker>
  readonly options: RunOptions
  readonly mounts: Omit<MountParts, 'sources'>
  /** Of the build, not of its steps: what a step has done is packed and kept when another one fails. */
  readonly packSignal: AbortSignal
  /** Keeps what a failed RUN left; undefined: it is thrown away. */
  readonly failedSteps: FailedStepKeeper | undefined
  /** Watches work that outlives its step (Scheduler.background). */
  readonly background: (work: Promise<unknown>) => void
  /** RFC 3339 of now. */
  readonly now: () => string
}

/** Does a RUN: its layer, cached or executed. */
export async function runNode(
  node: RunNode,
  inputs: {
    readonly parent: LayerStack
    readonly sources: ReadonlyMap<NodeId, MountSource>
    readonly place: StepPlace
  },
  parts: RunNodeParts,
  signal: AbortSignal,
): Promise<BuildLayer> {
  checkEntitlements(node, parts.options)
  const { parent, sources, place } = inputs
  const known = knownDiffIds(parent)
  const finalInputs = async (): Promise<RunInputs> =>
    await runInputs(node, parentName(await packedDiffIds(parent)), sources, parts.options, signal)
  return await parts.cache.run(
    {
      ...place,
      title: node.origin.title,
      ignoreCache: node.origin.ignoreCache,
      // Over a layer that is being packed there can be no record: nobody else has that filesystem.
      inputs: known === undefined ? undefined : await finalInputs(),
      finalInputs,
      execute: async (step, inner) => {
        const needsNetwork = networkOf(node, parts.options) === 'default'
        const worker = await parts.workerFor({ needsNetwork })
        const layers = await parts.access.directories(parent, inner)
        const finished = await parts.limits.run(async () => {
          inner.throwIfAborted()
          await using prepared = await prepareMounts(node, { ...parts.mounts, sources }, inner)
          const directory = await parts.store.layers.allocateDirectory(inner)
          const request = {
            node,
            layers,
            prepared,
            options: parts.options,
            commitTo: directory.path,
            keeping: keepingOf(node, { parent, origins: prepared.origins, worker }, parts),
          }
          const result = await executeRun(request, worker, step, inner)
          const { diff, hidesDirectories } = result
          const finishedRun = { diff, hidesDirectories, directory, parent, createdAt: parts.now() }
          return { ...finishedRun, blob: packedBlob(parts), usage: usageOf(result) }
        })
        return {
          unpacked: {
            directory: finished.directory,
            blob: finished.blob,
            changes: {
              page: async (page) =>
                await worker.readDiff({ diff: finished.diff, page }, parts.packSignal),
            },
          },
          packing: packRun(finished, worker, parts, parts.packSignal),
          usage: finished.usage,
        }
      },
    },
    signal,
  )
}

function usageOf({ cpuTimeMs, peakMemoryBytes }: RunResult): StepUsage {
  return { cpuTimeMs, ...(peakMemoryBytes === undefined ? {} : { peakMemoryBytes }) }
}

function keepingOf(
  node: RunNode,
  run: Pick<FailedRun, 'parent' | 'origins'> & { readonly worker: Worker },
  parts: RunNodeParts,
): Keeping | undefined {
  const { failedSteps, store, options } = parts
  if (failedSteps === undefined) return undefined
  const directory = store.lease.temporaryPath()
  return {
    directory,
    keep: (files, reason) => {
      const failed = { ...run, node, options, files, reason, directory, failedAt: parts.now() }
      const { id, done } = failedSteps.keep(failed, run.worker, parts.packSignal)
      parts.background(done)
      return id
    },
  }
}

async function runInputs(
  node: RunNode,
  parent: string,
  sources: ReadonlyMap<NodeId, MountSource>,
  options: RunOptions,
  signal: AbortSignal,
): Promise<RunInputs> {
  return {
    kind: 'run',
    parent,
    platform: formatPlatform(node.platform),
    args: node.args,
    env: node.env,
    cwd: node.cwd,
    user: node.user,
    hostname: hostnameOf(node),
    extraHosts: options.extraHosts.map(({ name }) => name),
    network: networkOf(node, options),
    security: node.security,
    ulimits: options.ulimits.map(({ name, soft, hard }) => `${name}=${soft}:${hard}`).toSorted(),
    shmSizeBytes: options.shmSizeBytes,
    cgroupParent: options.cgroupParent,
    mounts: await keyMounts(node, sources, signal),
    scripts: node.scripts,
    devices: node.devices.map(({ name }) => name),
  }
}
