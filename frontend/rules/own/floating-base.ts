import type { ParsedDockerfile } from '../../dockerfile.ts'
import { parseImageReference } from '../../image-reference.ts'
import type { FromCommand } from '../../instructions/from.ts'
import type { Finding } from '../rule.ts'
import { FLOATING_BASE_IMAGE } from './rules.ts'

/** A base image without a tag, or with `latest`, in a file that pins another one. Variables are not looked into. */
export function floatingBaseFindings(parsed: ParsedDockerfile): Finding[] {
  const stages = new Set<string>()
  const floating: FromCommand[] = []
  let pinned: string | undefined
  for (const { from } of parsed.stages) {
    const version = stages.has(from.base.toLowerCase()) ? undefined : versionOf(from.base)
    if (version === 'latest') floating.push(from)
    else if (version !== undefined) pinned ??= from.base
    if (from.stageName !== '') stages.add(from.stageName)
  }
  if (pinned === undefined) return []
  return floating.map((place) => ({
    rule: FLOATING_BASE_IMAGE,
    detail: `${place.base} names no version, though ${pinned} does: name the tag (or digest) that is meant`,
    place,
  }))
}

function versionOf(name: string): string | undefined {
  if (name === 'scratch' || name.includes('$')) return undefined
  const reference = parseImageReference(name)
  if ('fault' in reference) return undefined
  const { digest, domain, path, tag = 'latest' } = reference
  // No official image has `_` in its name: compose or a script makes this one here.
  if (domain === 'docker.io' && /^library\/.*_/.test(path)) return undefined
  if (digest !== undefined) return digest
  // `golang:alpine` names a variant, and no version.
  return tag === 'latest' || /\d/.test(tag) ? tag : undefined
}
