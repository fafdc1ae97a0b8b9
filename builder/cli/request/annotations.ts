import { formatPlatform } from '../../../registry-client/oci/index.ts'
import type { AnnotationRequest } from '../../request.ts'
import { UsageError } from '../errors.ts'
import { readPlatform } from './platform.ts'

const LEVELS: ReadonlySet<string> = new Set([
  'manifest',
  'index',
  'manifest-descriptor',
  'index-descriptor',
])
const SCOPE = /^([a-z-]+)(?:\[([A-Za-z0-9_./-]+)\])?$/

/** `--annotation [level[,level][[platform]]:]key=value` (features row C20). Throws `UsageError`. */
export function readAnnotation(text: string): AnnotationRequest[] {
  const prefix = /^([a-z-]+(?:\[[^\]]+\])?(?:,[a-z-]+(?:\[[^\]]+\])?)*):(.+)$/s.exec(text)
  const pair = prefix?.[2] ?? text
  const equals = pair.indexOf('=')
  if (equals < 1) {
    throw new UsageError(`invalid annotation "${text}": expected key=value`)
  }
  const key = pair.slice(0, equals)
  const value = pair.slice(equals + 1)
  return (prefix?.[1] ?? 'manifest')
    .split(',')
    .map((scope) => ({ ...readScope(scope, text), key, value }))
}

/** An exporter attribute `annotation[-level][[platform]].key=value` (C77); undefined when `name` is another attribute. */
export function readAnnotationAttribute(
  name: string,
  value: string,
): AnnotationRequest | undefined {
  const match = /^annotation(?:-([a-z-]+))?(\[[^\]]+\])?\.(.+)$/s.exec(name)
  if (match === null) {
    return undefined
  }
  return {
    ...readScope(`${match[1] ?? 'manifest'}${match[2] ?? ''}`, name),
    key: match[3] ?? '',
    value,
  }
}

function readScope(scope: string, text: string): Pick<AnnotationRequest, 'level' | 'platform'> {
  const match = SCOPE.exec(scope)
  const level = match?.[1]
  if (level === undefined || !isLevel(level)) {
    throw new UsageError(
      `invalid annotation "${text}": unknown type "${level ?? scope}" (known: ${[...LEVELS].join(', ')})`,
    )
  }
  const platform = match?.[2]
  return {
    level,
    platform: platform === undefined ? undefined : formatPlatform(readPlatform(platform)),
  }
}

function isLevel(text: string): text is AnnotationRequest['level'] {
  return LEVELS.has(text)
}
