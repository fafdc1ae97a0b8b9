import { diskSpaceAt } from '../collection/disk.ts'
import { type CollectionLimits, limitsOn, readCollectionSettings } from '../collection/limits.ts'
import type { Command, CommandContext } from '../command.ts'
import { type DiskUsage, readUsage, sum } from '../disk-usage.ts'
import { UsageError } from '../errors.ts'
import { CACHE_KINDS } from '../gc-sources.ts'
import { formatBytes } from '../progress/format.ts'
import { neutralise } from '../progress/terminal-text.ts'
import { ROOT_FLAG } from '../request/build-flags.ts'
import { openServices } from '../services.ts'
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
    const settings = readCollectionSettings(context.env)
    await using services = await openServices(args, context)
    const usage = await readUsage(services, context.signal)
    const disk = await diskSpaceAt(services.store.root.path)
    print(
      { ...usage, limits: settings === undefined ? undefined : limitsOn(settings, disk) },
      { isJson: format === 'json', isVerbose: args.boolean('verbose') === true },
      context,
    )
    return 0
  },
}

interface Shown extends DiskUsage {
  /** Of collections after builds; undefined: there are none. */
  readonly limits: CollectionLimits | undefined
}

function print(
  { rows, totalBytes, reclaimableBytes, limits }: Shown,
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
    stdout.write(
      `${JSON.stringify({ records, totalBytes, reclaimableBytes, limits: limits ?? null })}\n`,
    )
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
    const kinds = CACHE_KINDS.map((kind) => {
      const own = records.filter(({ type }) => type === kind)
      return [kind, String(own.length), formatBytes(sum(own.map(({ sizeBytes }) => sizeBytes)))]
    })
    stdout.write(`${renderTable([['TYPE', 'COUNT', 'SIZE (WITH SHARED)'], ...kinds])}\n`)
  }
  stdout.write(`Reclaimable: ${formatBytes(reclaimableBytes)}\nTotal: ${formatBytes(totalBytes)}\n`)
  stdout.write(`Collected after builds: ${describe(limits)}\n`)
}

function describe(limits: CollectionLimits | undefined): string {
  if (limits === undefined) return 'nothing (TSBUILD_GC=off)'
  const { maxUsedBytes, minFreeBytes, reservedBytes } = limits
  return (
    `cache over ${formatBytes(maxUsedBytes)}, and while the disk has less than ${formatBytes(minFreeBytes)} free ` +
    `cache over ${formatBytes(reservedBytes)}`
  )
}
