import { readBoolean } from './args.ts'
import { UsageError } from './errors.ts'
import { findImage, type ImageView, viewImage } from './image-view.ts'
import type { CommandServices } from './services.ts'

const KEYS = ['reference', 'label', 'dangling', 'before', 'since'] as const

/** One `--filter` of `images`. */
export interface ImageFilter {
  readonly key: (typeof KEYS)[number]
  readonly value: string
}

/** Reads `KEY=VALUE` (features row C112). Throws `UsageError`. */
export function readFilter(text: string): ImageFilter {
  const equals = text.indexOf('=')
  const key = KEYS.find((known) => known === text.slice(0, Math.max(0, equals)))
  if (key === undefined) {
    throw new UsageError(
      `invalid filter "${text}" (known: ${KEYS.map((known) => `${known}=`).join(', ')})`,
    )
  }
  const value = text.slice(equals + 1)
  if (key === 'dangling' && readBoolean(value) === undefined) {
    throw new UsageError(`invalid filter "${text}": it must be true or false`)
  }
  return { key, value }
}

/** What the filter lets pass. Errors of `before` and `since`: `name-missing`, `name-ambiguous`. */
export async function testOf(
  { key, value }: ImageFilter,
  services: CommandServices,
  signal: AbortSignal,
): Promise<(view: ImageView) => boolean> {
  switch (key) {
    case 'reference':
      return referenceTest(value)
    case 'label':
      return labelTest(value)
    case 'dangling': {
      const isDangling = readBoolean(value)
      return ({ image }) => (image.name === undefined) === isDangling
    }
    case 'before':
    case 'since': {
      const other = await viewImage(
        await findImage(value, services.images, signal),
        services,
        signal,
      )
      const sign = key === 'before' ? -1 : 1
      return (view) => sign * (createdMs(view) - createdMs(other)) > 0
    }
    default:
      return key satisfies never
  }
}

/** An image without a time is as old as can be. */
function createdMs({ createdAt }: ImageView): number {
  return createdAt === undefined ? 0 : Date.parse(createdAt)
}

function labelTest(text: string): (view: ImageView) => boolean {
  const [name = '', ...rest] = text.split('=')
  return ({ platforms }) =>
    platforms.some(({ config }) => {
      const label = config.config.Labels?.[name]
      return label !== undefined && (rest.length === 0 || label === rest.join('='))
    })
}

/** `*` stands for anything but a slash; without a tag every tag counts. */
function referenceTest(pattern: string): (view: ImageView) => boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '[^/]*')
    .replaceAll('?', '[^/]')
  const regexp = new RegExp(`^${source}$`)
  return ({ repository, tag }) => regexp.test(repository) || regexp.test(`${repository}:${tag}`)
}
