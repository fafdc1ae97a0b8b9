import type { KeyInputs } from '../solver/cache-key.ts'

/**
 * Why a step is not the one that ran before at its place, as plain sentences, the most telling first; empty when the
 * inputs are equal (its layer is gone, or the cache was not asked).
 *
 * @example explainMiss(before, now) // ['COPY source "src": its content changed']
 */
export function explainMiss(before: KeyInputs, now: KeyInputs): string[] {
  if (before.kind !== now.kind) {
    return [`the instruction was ${name(before)}, now it is ${name(now)}`]
  }
  const reasons: string[] = []
  if (before.kind === 'run' && now.kind === 'run') {
    reasons.push(...named('variable', before.env, now.env))
    reasons.push(...changedMounts(before.mounts, now.mounts))
  }
  if (before.kind === 'copy' && now.kind === 'copy') {
    reasons.push(...changedSources(before.sources, now.sources))
  }
  const seen = new Set(['kind', 'parent', 'env', 'mounts', 'sources'])
  const was = new Map(Object.entries(before))
  for (const [field, value] of Object.entries(now)) {
    if (!seen.has(field) && !isEqual(was.get(field), value)) {
      reasons.push(
        `${FIELD_NAMES[field] ?? field} changed from ${show(was.get(field))} to ${show(value)}`,
      )
    }
  }
  if (before.parent !== now.parent) {
    // The step's own changes say more than that something below it changed too.
    reasons.push('an earlier step or the base image changed')
  }
  return reasons
}

const FIELD_NAMES: Readonly<Record<string, string>> = {
  args: 'the command',
  cwd: 'WORKDIR',
  user: 'USER',
  network: 'the network mode',
  security: 'the security mode',
  platform: 'the platform',
  scripts: 'a heredoc',
  dest: 'the destination',
  chown: '--chown',
  chmod: '--chmod',
  exclude: '--exclude',
  path: 'the directory',
  epochSec: 'SOURCE_DATE_EPOCH',
  extraHosts: 'the extra hosts',
}

function named(what: string, before: readonly string[], now: readonly string[]): string[] {
  const old = toMap(before)
  const current = toMap(now)
  const reasons: string[] = []
  for (const [key, value] of current) {
    const previous = old.get(key)
    if (previous === undefined) {
      reasons.push(`${what} ${key} is new`)
    } else if (previous !== value) {
      reasons.push(`${what} ${key} changed from ${show(previous)} to ${show(value)}`)
    }
  }
  for (const key of old.keys()) {
    if (!current.has(key)) {
      reasons.push(`${what} ${key} is gone`)
    }
  }
  return reasons
}

type Sources = readonly { readonly pattern: string; readonly content: string }[]

function changedSources(before: Sources, now: Sources): string[] {
  return now.flatMap((source, index) => {
    const old = before.find((candidate) => candidate.pattern === source.pattern) ?? before[index]
    if (old === undefined) {
      return [`source ${show(source.pattern)} is new`]
    }
    if (old.content === source.content) {
      return []
    }
    return old.pattern === source.pattern
      ? [`source ${show(source.pattern)}: its content changed`]
      : [`source ${show(old.pattern)} was replaced by ${show(source.pattern)}`]
  })
}

type Mounts = Extract<KeyInputs, { kind: 'run' }>['mounts']

function changedMounts(before: Mounts, now: Mounts): string[] {
  if (isEqual(before, now)) {
    return []
  }
  const reasons = now.flatMap((mount) => {
    const old = before.find((candidate) => candidate.target === mount.target)
    if (old === undefined) {
      return [`mount ${mount.target ?? ''} is new`]
    }
    if (old.type === 'bind' && mount.type === 'bind' && old.content !== mount.content) {
      return [`the content mounted at ${mount.target} changed`]
    }
    return isEqual(old, mount) ? [] : [`mount ${mount.target ?? ''} has other options`]
  })
  return reasons.length > 0 ? reasons : ['the mounts changed']
}

function toMap(pairs: readonly string[]): Map<string, string> {
  return new Map(
    pairs.map((pair) => {
      const equals = pair.indexOf('=')
      return equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)]
    }),
  )
}

function name(inputs: KeyInputs): string {
  return { run: 'a RUN', copy: 'a COPY or ADD', mkdir: 'a WORKDIR' }[inputs.kind]
}

function isEqual(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/** Short enough for a progress line. */
function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}
