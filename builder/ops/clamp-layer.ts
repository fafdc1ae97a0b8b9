import { type DiffId, digestHex, digestOf, parseDiffId } from '../../registry-client/oci/index.ts'
import {
  type LayerEntry,
  type PackEntry,
  readContents,
  type Store,
} from '../../snapshotter/index.ts'
import type { RecordTable } from '../cache/records.ts'
import type { LayerFormat } from '../request.ts'
import { BuildLayer } from '../solver/layer.ts'
import type { Limits } from '../solver/limits.ts'
import type { Worker } from '../worker/protocol.ts'
import type { LayerAccess } from './layer-access.ts'
import { toPack } from './layer-entries.ts'
import { recordPacked } from './pack-run.ts'

/** The layer that clamping the times of another one gave. */
export interface ClampRecord {
  readonly diffId: DiffId
}

export interface ClampParts {
  readonly store: Pick<Store, 'layers' | 'blobs' | 'lease' | 'root'>
  readonly access: LayerAccess
  readonly limits: Limits
  readonly worker: () => Promise<Worker>
  readonly clamps: RecordTable<ClampRecord>
}

/**
 * The layer with every time later than `epochSec` set to it (features rows C76, O37). A layer without such a time is
 * itself. Packed anew once; a record remembers what came out, so the cache of steps does not depend on the epoch.
 */
export async function clampLayer(
  layer: BuildLayer,
  epochSec: number,
  format: LayerFormat,
  parts: ClampParts,
  signal: AbortSignal,
): Promise<BuildLayer> {
  const { diffId, createdAt } = await layer.packing
  const name = digestHex(digestOf(`clamp ${diffId} ${epochSec}`))
  const known = (await parts.clamps.get(name))?.diffId
  if (
    known !== undefined &&
    ((await parts.store.layers.get(known, signal))?.blobs.length ?? 0) > 0
  ) {
    await parts.clamps.touch(name)
    return BuildLayer.ofRecord(layer.title, { diffId: known, createdAt })
  }
  const contents = await parts.access.contents(layer, signal)
  const clamped = (await hasLaterTime(contents, epochSec))
    ? await repack(layer, contents, epochSec, format, parts, signal)
    : diffId
  await parts.clamps.put(name, { diffId: clamped })
  return clamped === diffId
    ? layer
    : BuildLayer.ofRecord(layer.title, { diffId: clamped, createdAt })
}

export function readClampRecord(value: unknown): ClampRecord | undefined {
  if (
    typeof value !== 'object' ||
    value === null ||
    !('diffId' in value) ||
    typeof value.diffId !== 'string'
  ) {
    return undefined
  }
  const diffId = parseDiffId(value.diffId)
  return diffId === undefined ? undefined : { diffId }
}

async function repack(
  layer: BuildLayer,
  contents: string,
  epochSec: number,
  format: LayerFormat,
  { store, access, limits, worker }: ClampParts,
  signal: AbortSignal,
): Promise<DiffId> {
  const root = `${(await access.directory(layer, signal)).path}/fs`
  const files = {
    output: store.lease.temporaryPath('layer'),
    contents: store.lease.temporaryPath('contents'),
  }
  const { compression, level } = format
  const result = await limits.cpu(async () =>
    (await worker()).packEntries(
      clampedEntries(contents, root, epochSec),
      { ...files, compression, level, partsTable: store.root.partsTable },
      signal,
    ),
  )
  await recordPacked(result, { ...files, directory: undefined, format }, store, signal)
  return result.diffId
}

async function hasLaterTime(contents: string, epochSec: number): Promise<boolean> {
  for await (const batch of readContents(contents)) {
    if (batch.some((entry) => 'mtimeSec' in entry && entry.mtimeSec > epochSec)) {
      return true
    }
  }
  return false
}

async function* clampedEntries(
  contents: string,
  root: string,
  epochSec: number,
): AsyncGenerator<readonly PackEntry[]> {
  for await (const batch of readContents(contents)) {
    yield batch.map((entry) => toPack(clamp(entry, epochSec), root))
  }
}

function clamp(entry: LayerEntry, epochSec: number): LayerEntry {
  return 'mtimeSec' in entry && entry.mtimeSec > epochSec ? { ...entry, mtimeSec: epochSec } : entry
}
