import { DisposableScope, errnoOf, type EntryFile } from '../../snapshotter/index.ts'
import type { GrowingBlob } from '../solver/growing-blob.ts'
import type { PackedLayer, PendingChanges } from '../solver/layer.ts'
import type { Worker } from '../worker/protocol.ts'
import type { ExecutedStep } from './cached-step.ts'
import { LayerMaking } from './layer-making.ts'
import { packedBlob, packPlanned, type PackEntriesParts } from './pack-entries.ts'

export interface MadeStepParts extends PackEntriesParts {
  /** Of the build, not of its steps: what a step has done is packed and kept when another one fails. */
  readonly packSignal: AbortSignal
  readonly nowMs: () => number
  readonly worker: () => Promise<Pick<Worker, 'info' | 'makeLayer' | 'packEntries'>>
}

/**
 * The layer of planned entries (COPY, ADD, WORKDIR) for steps that need not wait until it is packed. When a RUN is going to
 * see it, its directory is made of the entries, and packed from there while it is made: the bytes of both are the same even
 * if the sources change meanwhile. The step is done when the directory is. Without a directory packing is the copying, so
 * the step is shown until then. `named` gives an error of the packing its place in the Dockerfile.
 */
export async function madeStep(
  planned: EntryFile,
  options: { readonly isReadByRun: boolean; readonly named: (error: unknown) => unknown },
  parts: MadeStepParts,
  signal: AbortSignal,
): Promise<ExecutedStep> {
  const createdAt = new Date(parts.nowMs()).toISOString()
  await using scope = new DisposableScope()
  scope.defer(() => planned[Symbol.asyncDispose]())
  const pack = (making: LayerMaking | undefined): PackingBlob => {
    const blob = packedBlob(parts)
    const { entries = planned, directory } = making ?? {}
    const packed = packPlanned(entries, { createdAt, directory, blob }, parts, parts.packSignal)
    const packing = packed.catch((error: unknown) => {
      throw options.named(error)
    })
    return { blob, packing }
  }
  const making = options.isReadByRun ? await startMaking(planned, parts, signal) : undefined
  const beside = making && pack(making)
  // What fails with the making, the making tells; the rest is told to whoever gets the packing.
  beside?.packing.catch(() => undefined)
  const directory = making && (await madeDirectory(making, parts))
  const { blob, packing } =
    directory === undefined || beside === undefined ? pack(undefined) : beside
  scope.release()
  return {
    unpacked: { directory, changes: changesUntil(planned, packing), blob },
    packing,
    unfinished: directory === undefined ? packing : undefined,
  }
}

interface PackingBlob {
  readonly blob: GrowingBlob
  readonly packing: Promise<PackedLayer>
}

/** Undefined where the worker cannot make it: then whoever needs it unpacks the layer. */
async function startMaking(
  planned: EntryFile,
  { store, worker }: MadeStepParts,
  signal: AbortSignal,
): Promise<LayerMaking | undefined> {
  const maker = await worker()
  if (maker.info.rung === 'userns-single-id') return undefined
  const directory = await store.layers.allocateDirectory(signal)
  return new LayerMaking(planned, directory, maker, signal)
}

/** The directory when it is whole; undefined where the worker could not make it after all. */
async function madeDirectory(
  making: LayerMaking,
  { worker }: MadeStepParts,
): Promise<LayerMaking['directory'] | undefined> {
  try {
    await making.done
    return making.directory
  } catch (error) {
    // Files that only a group of the user's may read are not to be had in a user namespace, which drops those groups.
    if (errnoOf(error) !== 'EACCES' || (await worker()).info.rung !== 'userns-subids') throw error
    return undefined
  }
}

/** The entries are let go of when the table of contents is there. */
function changesUntil(planned: EntryFile, packing: Promise<PackedLayer>): PendingChanges {
  let reading: Promise<unknown> = Promise.resolve()
  let isReleased = false
  const release = async (): Promise<void> => {
    isReleased = true
    await reading
    await planned[Symbol.asyncDispose]()
  }
  packing.then(release, release).catch(() => undefined)
  return {
    page: async (index) => {
      if (isReleased) {
        return undefined
      }
      const page = planned.page(index)
      reading = Promise.allSettled([reading, page])
      return { entries: await page, pageCount: Math.max(1, planned.pageCount) }
    },
  }
}
