import { digestHex } from '../../../registry-client/oci/index.ts'
import type { Command, CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { type CacheRecord, cacheSources } from '../gc-sources.ts'
import { cacheMountSizes, workerForTrees } from '../mount-sizes.ts'
import { formatBytes } from '../progress/format.ts'
import { neutralise } from '../progress/terminal-text.ts'
import { ROOT_FLAG } from '../request/build-flags.ts'
import { type CommandServices, openServices } from '../services.ts'
import { formatAge, renderTable } from '../table.ts'

export const duCommand: Command = {
  name: 'du',
  usage: 'du [OPTIONS]',
  description:
    'Shows what takes disk space: images, cached steps and cache mounts. What several of them share counts once.',
  flags: {
    format: { kind: 'text', value: 'FORMAT', help: 'json: one JSON object' },
    verbose: { kind: 'boolean', help: 'Show every record' },
    ...ROOT_FLAG,
  },
  arguments: { min: 0, max: 0 },
  run: async (args, context) => {
    const format = args.text('format')
    if (format !== undefined && format !== 'json') {
      throw new UsageError(`unknown format "${format}": du knows json`)
    }
    await using services = await openServices(args, context)
    const usage = await readUsage(services, context.signal)
    print(
      usage,
      { isJson: format === 'json', isVerbose: args.boolean('verbose') === true },
      context,
    )
    return 0
  },
}

interface Usage {
  readonly rows: readonly {
    readonly record: CacheRecord
    readonly sizeBytes: number
    readonly isShared: boolean
  }[]
  readonly totalBytes: number
  /** What `prune -a` could free. */
  readonly reclaimableBytes: number
}

async function readUsage(services: CommandServices, signal: AbortSignal): Promise<Usage> {
  await using worker = workerForTrees(services)
  const mountSizes = await cacheMountSizes(services, worker, signal)
  const records: CacheRecord[] = []
  for (const source of cacheSources(services, 'bases', mountSizes)) {
    for await (const record of source.records()) {
      records.push(record)
    }
  }
  const units = new Map<CacheRecord, Map<string, number>>()
  for (const record of records) {
    units.set(record, await unitsOf(record, services, signal))
  }
  const holders = new Map<string, number>()
  for (const unit of [...units.values()].flatMap((map) => [...map.keys()])) {
    holders.set(unit, (holders.get(unit) ?? 0) + 1)
  }
  const rows = records.map((record) => {
    const own = units.get(record) ?? new Map<string, number>()
    return {
      record,
      sizeBytes: record.sizeBytes + sum(own.values()),
      isShared: [...own.keys()].some((unit) => (holders.get(unit) ?? 0) > 1),
    }
  })
  const known = merged(units.values())
  const garbage = await garbageOf(known, services, signal)
  if (garbage !== undefined)
    rows.push({ record: garbage, sizeBytes: garbage.sizeBytes, isShared: false })
  const totalBytes = sum(rows.map(({ record }) => record.sizeBytes)) + sum(known.values())
  const pinned = merged([...units].filter(([record]) => record.isPinned).map(([, own]) => own))
  return { rows, totalBytes, reclaimableBytes: totalBytes - sum(pinned.values()) }
}

/** What no record keeps: of images that were removed, of builds that failed or are going on. */
async function garbageOf(
  known: ReadonlyMap<string, number>,
  services: CommandServices,
  signal: AbortSignal,
): Promise<CacheRecord | undefined> {
  const { layers, blobs } = services.store
  const all = { layers: await layers.diffIds(), blobs: await blobs.digests() }
  const units = [...(await unitsOf(all, services, signal))].filter(([unit]) => !known.has(unit))
  if (units.length === 0) return undefined
  return {
    kind: 'garbage',
    description: 'what nothing refers to; any prune removes it',
    name: 'garbage',
    ...{ lastUsedMs: Date.now(), isPinned: false, blobs: [], layers: [], trees: [] },
    sizeBytes: sum(units.map(([, sizeBytes]) => sizeBytes)),
    drop: async () => {},
  }
}

/** Blobs and layer directories that a record keeps, with their sizes. */
async function unitsOf(
  record: Pick<CacheRecord, 'blobs' | 'layers'>,
  { store }: CommandServices,
  signal: AbortSignal,
): Promise<Map<string, number>> {
  const units = new Map<string, number>()
  const digests = new Set(record.blobs)
  for (const diffId of record.layers) {
    const layer = await store.layers.get(diffId, signal)
    if (layer?.directory !== undefined) {
      units.set(`directory ${digestHex(diffId)}`, layer.uncompressedSizeBytes ?? 0)
    }
    for (const blob of layer?.blobs ?? []) {
      digests.add(blob.digest)
    }
  }
  for (const digest of digests) {
    units.set(`blob ${digestHex(digest)}`, (await store.blobs.size(digest, signal)) ?? 0)
  }
  return units
}

function print(
  { rows, totalBytes, reclaimableBytes }: Usage,
  options: { readonly isJson: boolean; readonly isVerbose: boolean },
  { stdout }: CommandContext,
): void {
  const records = rows.map(({ record, sizeBytes, isShared }) => ({
    id: record.name,
    type: record.kind,
    description: neutralise(record.description),
    reclaimable: !record.isPinned,
    shared: isShared,
    sizeBytes,
    lastUsed: new Date(record.lastUsedMs).toISOString(),
  }))
  if (options.isJson) {
    stdout.write(`${JSON.stringify({ records, totalBytes, reclaimableBytes })}\n`)
    return
  }
  if (options.isVerbose) {
    const body = records.map((row) => [
      row.type,
      row.reclaimable ? 'true' : 'false',
      `${formatBytes(row.sizeBytes)}${row.shared ? '*' : ''}`,
      formatAge(row.lastUsed, Date.now()),
      row.description,
    ])
    stdout.write(
      `${renderTable([['TYPE', 'RECLAIMABLE', 'SIZE', 'LAST USED', 'DESCRIPTION'], ...body])}\n`,
    )
  } else {
    const kinds = [
      'image',
      'step',
      'failed-step',
      'cache-mount',
      'download',
      'index',
      'garbage',
    ].map((kind) => {
      const own = records.filter(({ type }) => type === kind)
      return [kind, String(own.length), formatBytes(sum(own.map(({ sizeBytes }) => sizeBytes)))]
    })
    stdout.write(`${renderTable([['TYPE', 'COUNT', 'SIZE (WITH SHARED)'], ...kinds])}\n`)
  }
  stdout.write(`Reclaimable: ${formatBytes(reclaimableBytes)}\nTotal: ${formatBytes(totalBytes)}\n`)
}

function merged(maps: Iterable<ReadonlyMap<string, number>>): Map<string, number> {
  return new Map([...maps].flatMap((map) => [...map]))
}

function sum(numbers: Iterable<number>): number {
  return [...numbers].reduce((total, number) => total + number, 0)
}
