import type { HistoryEntry } from '../../../registry-client/oci/index.ts'
import type { Command } from '../command.ts'
import type { StepUsage } from '../../cache/records.ts'
import { CommandError } from '../errors.ts'
import { findImage, layerSizes, shortId, viewImage } from '../image-view.ts'
import { formatBytes, formatSeconds } from '../progress/format.ts'
import { neutralise } from '../progress/terminal-text.ts'
import { ROOT_FLAG } from '../request/build-flags.ts'
import { openServices } from '../services.ts'
import { layerUsages } from '../step-usage.ts'
import { formatAge, renderRows, renderTable } from '../table.ts'

const CREATED_BY_LENGTH = 60

/** Heads of `--format 'table …'`. */
const HEADS = {
  ID: 'IMAGE',
  CreatedAt: 'CREATED AT',
  CreatedSince: 'CREATED',
  CreatedBy: 'CREATED BY',
  Size: 'SIZE',
  CPU: 'CPU',
  Memory: 'MEMORY',
  Comment: 'COMMENT',
}

export const historyCommand: Command = {
  name: 'history',
  usage: 'history [OPTIONS] IMAGE',
  description: 'Shows how an image was made, the newest step first.',
  flags: {
    format: {
      kind: 'text',
      value: 'FORMAT',
      help: "json, table, or a template such as '{{.CreatedBy}}'",
    },
    'no-trunc': { kind: 'boolean', help: 'Show whole commands' },
    quiet: { kind: 'boolean', short: 'q', help: 'Show ids only' },
    steps: {
      kind: 'boolean',
      help: 'Show the processor time and the peak memory of steps that ran here',
    },
    ...ROOT_FLAG,
  },
  arguments: { min: 1, max: 1 },
  run: async (args, context) => {
    const { stdout, signal } = context
    const [text = ''] = args.positionals
    await using services = await openServices(args, context)
    const view = await viewImage(await findImage(text, services.images, signal), services, signal)
    const [platform] = view.platforms
    if (platform === undefined) {
      throw new CommandError(
        'image-missing',
        `could not show the history of ${text}: its config is not in the store`,
      )
    }
    const sizes = await layerSizes(platform, services.store, signal)
    const isWhole = args.boolean('no-trunc') === true
    const hasSteps = args.boolean('steps') === true
    const { history, rootfs } = platform.config
    const usages = await layerUsages(hasSteps ? rootfs.diff_ids : [], services)
    const layers = sizes.map((sizeBytes, index) => {
      const diffId = rootfs.diff_ids[index]
      return { sizeBytes, usage: diffId === undefined ? undefined : usages.get(diffId) }
    })
    const rows = historyRows(history, layers, isWhole ? view.id : shortId(view.id))
    const format = args.text('format') ?? 'table'
    if (args.boolean('quiet') === true) {
      stdout.write(rows.map(({ ID }) => `${ID}\n`).join(''))
    } else if (format === 'json') {
      const shown = rows.map(({ CPU, Memory, ...row }) =>
        hasSteps ? { ...row, CPU, Memory } : row,
      )
      stdout.write(shown.map((row) => `${JSON.stringify(row)}\n`).join(''))
    } else if (format === 'table') {
      const body = rows.map((row) => [
        row.ID,
        row.CreatedSince,
        shorten(row.CreatedBy, isWhole),
        row.Size,
        ...(hasSteps ? [row.CPU, row.Memory] : []),
        row.Comment,
      ])
      const head = [
        'IMAGE',
        'CREATED',
        'CREATED BY',
        'SIZE',
        ...(hasSteps ? ['CPU', 'MEMORY'] : []),
      ]
      stdout.write(renderTable([[...head, 'COMMENT'], ...body]))
    } else {
      stdout.write(renderRows(format, HEADS, rows))
    }
    return 0
  },
}

interface HistoryRow {
  readonly ID: string
  readonly CreatedAt: string
  readonly CreatedSince: string
  readonly CreatedBy: string
  readonly Size: string
  /** Of the step's process; empty where it is not known. */
  readonly CPU: string
  readonly Memory: string
  readonly Comment: string
}

/** Only the newest entry has the image's id: what lies below are no images (docker's `<missing>`). */
function historyRows(
  history: readonly HistoryEntry[],
  layers: readonly { readonly sizeBytes: number; readonly usage: StepUsage | undefined }[],
  id: string,
): HistoryRow[] {
  let position = 0
  const rows = history.map((entry, index) => {
    const layer = entry.empty_layer === true ? undefined : layers[position]
    const { cpuTimeMs, peakMemoryBytes } = layer?.usage ?? {}
    position += entry.empty_layer === true ? 0 : 1
    return {
      ID: index === history.length - 1 ? id : '<missing>',
      CreatedAt: entry.created ?? '',
      CreatedSince: formatAge(entry.created, Date.now()),
      CreatedBy: neutralise((entry.created_by ?? '').replaceAll('\t', ' ').replaceAll('\n', ' ')),
      Size: formatBytes(layer?.sizeBytes ?? 0),
      CPU: cpuTimeMs === undefined ? '' : formatSeconds(cpuTimeMs),
      Memory: peakMemoryBytes === undefined ? '' : formatBytes(peakMemoryBytes),
      Comment: neutralise(entry.comment ?? ''),
    }
  })
  return rows.reverse()
}

function shorten(text: string, isWhole: boolean): string {
  return isWhole || text.length <= CREATED_BY_LENGTH
    ? text
    : `${text.slice(0, CREATED_BY_LENGTH - 1)}…`
}
