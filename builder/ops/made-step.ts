import { DisposableScope, type EntryFile, type PackEntry } from '../../snapshotter/index.ts'
import type { PackedLayer, PendingChanges, UnpackedLayer } from '../solver/layer.ts'
import type { ExecutedStep } from './cached-step.ts'
import {
  packedBlob,
  packPlanned,
  type PackEntriesParts,
  type PlannedEntries,
} from './pack-entries.ts'

export interface MadeStepParts extends PackEntriesParts {
  /** Of the build, not of its steps: what a step has done is packed and kept when another one fails. */
  readonly packSignal: AbortSignal
  readonly nowMs: () => number
}

/**
 * The layer of planned entries (COPY, ADD, WORKDIR) for steps that need not wait until it is packed. When a RUN is going to
 * see it, its directory is made of the same entries first, and packed from there: the bytes of both are the same even if
 * the sources change meanwhile. Without a directory packing is the copying, so the step is shown until then. `named` gives
 * an error of the packing its place in the Dockerfile.
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
  const directory = options.isReadByRun ? await makeDirectory(planned, parts, signal) : undefined
  const entries = directory === undefined ? planned : inDirectory(planned, `${directory.path}/fs`)
  const blob = packedBlob(parts)
  const packed = packPlanned(entries, { createdAt, directory, blob }, parts, parts.packSignal)
  const packing = packed.catch((error: unknown) => {
    throw options.named(error)
  })
  scope.release()
  return {
    unpacked: { directory, changes: changesUntil(planned, packing), blob },
    packing,
    unfinished: directory === undefined ? packing : undefined,
  }
}

/** Undefined where the worker cannot make it: then whoever needs it unpacks the layer. */
async function makeDirectory(
  entries: PlannedEntries,
  { store, worker }: MadeStepParts,
  signal: AbortSignal,
): Promise<UnpackedLayer['directory']> {
  const maker = await worker()
  if (maker.info.rung === 'userns-single-id') return undefined
  const directory = await store.layers.allocateDirectory(signal)
  try {
    await maker.makeLayer(entries.pages(), { directory: directory.path }, signal)
  } catch (error) {
    // Files that only a group of the user's may read are not to be had in a user namespace, which drops those groups.
    const isUnreadable = error instanceof Error && 'code' in error && error.code === 'EACCES'
    if (!isUnreadable || maker.info.rung !== 'userns-subids') throw error
    return undefined
  }
  return directory
}

function inDirectory(planned: PlannedEntries, root: string): PlannedEntries {
  async function* pages(): AsyncGenerator<readonly PackEntry[]> {
    for await (const page of planned.pages()) {
      yield page.map((entry) =>
        entry.type === 'file' && entry.source.kind === 'path'
          ? { ...entry, source: { kind: 'path', root, path: entry.path } }
          : entry,
      )
    }
  }
  return { roots: new Set(planned.roots.size === 0 ? [] : [root]), pages }
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
