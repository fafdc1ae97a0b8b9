import type { ParsedArgs } from '../args.ts'
import type { Command, CommandContext } from '../command.ts'
import { readFilter, testOf } from '../image-filter.ts'
import { type ImageView, shortId, viewImage } from '../image-view.ts'
import { formatBytes } from '../progress/format.ts'
import { ROOT_FLAG } from '../request/build-flags.ts'
import { openServices } from '../services.ts'
import { formatAge, renderRows, renderTable } from '../table.ts'

/** Heads of `--format 'table …'`. */
const HEADS = {
  Repository: 'REPOSITORY',
  Tag: 'TAG',
  Digest: 'DIGEST',
  ID: 'IMAGE ID',
  CreatedSince: 'CREATED',
  CreatedAt: 'CREATED AT',
  Size: 'SIZE',
  Platforms: 'PLATFORMS',
}

export const imagesCommand: Command = {
  name: 'images',
  usage: 'images [OPTIONS] [REPOSITORY[:TAG]]',
  description: 'Lists the images of the local store, those without a name last.',
  flags: {
    all: { kind: 'boolean', short: 'a' },
    digests: { kind: 'boolean', help: 'Show digests of manifests' },
    filter: {
      kind: 'list',
      short: 'f',
      value: 'KEY=VALUE',
      help: 'reference=PATTERN, label=K[=V], dangling=true|false, before=IMAGE, since=IMAGE',
    },
    format: {
      kind: 'text',
      value: 'FORMAT',
      help: "json, table, or a template such as '{{.Repository}}:{{.Tag}}'",
    },
    'no-trunc': { kind: 'boolean', help: 'Show whole ids' },
    quiet: { kind: 'boolean', short: 'q', help: 'Show ids only' },
    ...ROOT_FLAG,
  },
  arguments: { min: 0, max: 1 },
  run: async (args, context) => {
    const { signal } = context
    const filters = [
      ...args.list('filter'),
      ...args.positionals.map((text) => `reference=${text}`),
    ].map(readFilter)
    await using services = await openServices(args, context)
    const tests = await Promise.all(filters.map((filter) => testOf(filter, services, signal)))
    const views: ImageView[] = []
    for (const image of await services.images.list()) {
      const view = await viewImage(image, services, signal)
      if (tests.every((passes) => passes(view))) {
        views.push(view)
      }
    }
    print(views, args, context)
    return 0
  },
}

function print(views: readonly ImageView[], args: ParsedArgs, { stdout }: CommandContext): void {
  const isWhole = args.boolean('no-trunc') === true
  const idOf = (view: ImageView): string => (isWhole ? view.id : shortId(view.id))
  if (args.boolean('quiet') === true) {
    stdout.write([...new Set(views.map(idOf))].map((id) => `${id}\n`).join(''))
    return
  }
  const format = args.text('format') ?? 'table'
  const rows = views.map((view) => ({
    Repository: view.repository,
    Tag: view.tag,
    Digest: view.image.target.digest,
    ID: idOf(view),
    CreatedSince: formatAge(view.createdAt, Date.now()),
    CreatedAt: view.createdAt ?? 'N/A',
    Size: formatBytes(view.sizeBytes),
    Platforms: platformsOf(view).join(','),
  }))
  if (format === 'json') {
    stdout.write(rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  } else if (format !== 'table') {
    stdout.write(renderRows(format, HEADS, rows))
  } else {
    const hasDigests = args.boolean('digests') === true
    const head = [
      'REPOSITORY',
      'TAG',
      ...(hasDigests ? ['DIGEST'] : []),
      'IMAGE ID',
      'CREATED',
      'SIZE',
    ]
    const body = rows.map((row) => [
      row.Repository,
      row.Tag,
      ...(hasDigests ? [row.Digest] : []),
      row.ID,
      row.CreatedSince,
      row.Size,
    ])
    stdout.write(renderTable([head, ...body]))
  }
}

function platformsOf({ platforms }: ImageView): string[] {
  return platforms.map(
    ({ config }) =>
      `${config.os}/${config.architecture}${config.variant === undefined ? '' : `/${config.variant}`}`,
  )
}
