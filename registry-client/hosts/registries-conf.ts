import { RegistryError } from '../errors.ts'
import { formatReference, type Reference } from '../oci/index.ts'
import { originOf, type PullSource, type Routing } from './routing.ts'
import { isTable, parseToml, type TomlTable, type TomlValue } from './toml.ts'

interface Mirror {
  readonly location: string
  readonly isInsecure: boolean
  readonly pullFrom: 'all' | 'digest-only' | 'tag-only'
}

/** One `[[registry]]`. */
interface Rule {
  readonly prefix: string
  /** Undefined: the name stays. */
  readonly location: string | undefined
  readonly isInsecure: boolean
  readonly isBlocked: boolean
  readonly mirrors: readonly Mirror[]
}

/**
 * The routing of containers' registries.conf, version 2 (containers-registries.conf(5)): the rule
 * with the longest prefix decides, its mirrors come first, then its location. Later files replace
 * rules of the same prefix. Throws RegistryError `bad-configuration`.
 */
export function registriesConf(
  files: readonly { readonly path: string; readonly text: string }[],
): Routing {
  const rules = new Map<string, Rule>()
  for (const { path, text } of files) {
    for (const rule of readRules(parseToml(text, path), path)) rules.set(rule.prefix, rule)
  }
  const byLength = [...rules.values()].sort((a, b) => b.prefix.length - a.prefix.length)
  const insecure = byLength
    .flatMap((rule) => [...rule.mirrors, { ...rule, location: rule.location ?? rule.prefix }])
    .filter(({ isInsecure }) => isInsecure)
    .map(({ location }) => hostOf(location))
  return {
    pullSources: (reference) => sourcesFor(byLength, reference),
    insecureRegistries: insecure,
  }
}

function sourcesFor(rules: readonly Rule[], reference: Reference): PullSource[] {
  const whole = formatReference(reference)
  const rule = rules.find(({ prefix }) => matchEnd(prefix, whole) !== undefined)
  if (rule === undefined) return [originOf(reference)]
  if (rule.isBlocked) {
    throw new RegistryError('bad-configuration', `${rule.prefix} is blocked in registries.conf`, {
      host: reference.registry,
    })
  }
  const mirrors = rule.mirrors.filter(({ pullFrom }) => {
    return pullFrom === 'all' || (pullFrom === 'digest-only') === (reference.digest !== undefined)
  })
  return [...mirrors.map(({ location }) => location), rule.location].map((location) =>
    location === undefined ? originOf(reference) : rewritten(location, rule.prefix, reference),
  )
}

/**
 * How much of a name a prefix stands for; undefined when it is about another name. It ends where a part of the name
 * ends; `*.example.com` is for all hosts below.
 */
function matchEnd(prefix: string, whole: string): number | undefined {
  const isWildcard = prefix.startsWith('*.')
  const fixed = isWildcard ? prefix.slice(1) : prefix
  const start = isWildcard ? whole.indexOf(fixed) : 0
  if (start === -1 || whole.slice(0, start).includes('/') || !whole.startsWith(fixed, start))
    return undefined
  const end = start + fixed.length
  return ['', '/', ':', '@'].includes(whole.charAt(end)) ? end : undefined
}

function rewritten(location: string, prefix: string, reference: Reference): PullSource {
  const name = `${reference.registry}/${reference.repository}`
  const target = `${location}${name.slice(matchEnd(prefix, formatReference(reference)))}`
  const slash = target.indexOf('/')
  return {
    registry: target.slice(0, slash),
    repository: target.slice(slash + 1),
    isPlainHttp: false,
  }
}

function readRules(file: TomlTable, path: string): Rule[] {
  if (file['registries'] !== undefined) {
    throw new RegistryError('bad-configuration', `${path} is of version 1; write [[registry]]`)
  }
  return tables(file['registry'], path).map((table) => {
    const location = place(table['location'], path)
    const prefix = string(table['prefix'], path) || location
    if (prefix === undefined) throw bad(path, 'a registry has no prefix or location')
    if (hasScheme(prefix)) throw bad(path, `write ${prefix} without its scheme`)
    if (table['pull-from-mirror'] !== undefined)
      throw bad(path, 'pull-from-mirror belongs to a [[registry.mirror]]')
    const isDigestOnly = flag(table, 'mirror-by-digest-only', path)
    return {
      prefix,
      location,
      isInsecure: flag(table, 'insecure', path),
      isBlocked: flag(table, 'blocked', path),
      mirrors: tables(table['mirror'], path).map((mirror) =>
        readMirror(mirror, isDigestOnly, path),
      ),
    }
  })
}

function readMirror(table: TomlTable, isDigestOnly: boolean, path: string): Mirror {
  const location = place(table['location'], path)
  if (location === undefined) throw bad(path, 'a mirror has no location')
  const isInsecure = flag(table, 'insecure', path)
  const value = string(table['pull-from-mirror'], path)
  if (value === '') return { location, isInsecure, pullFrom: isDigestOnly ? 'digest-only' : 'all' }
  if (isDigestOnly)
    throw bad(path, 'pull-from-mirror cannot be set together with mirror-by-digest-only')
  if (value === 'all' || value === 'digest-only' || value === 'tag-only')
    return { location, isInsecure, pullFrom: value }
  throw bad(path, `pull-from-mirror is not ${value}`)
}

/** Host and path as in names; undefined where nothing is written. */
function place(value: TomlValue | undefined, path: string): string | undefined {
  const location = string(value, path)
  if (hasScheme(location)) throw bad(path, `write ${location} without its scheme`)
  if (/\/.*[:@]/.test(location)) throw bad(path, `${location} has a tag; a location has none`)
  return location === '' ? undefined : location
}

function hasScheme(text: string): boolean {
  return /^[a-z]+:\/\//i.test(text)
}

function flag(table: TomlTable, key: string, path: string): boolean {
  const value = table[key] ?? false
  if (typeof value === 'boolean') return value
  throw bad(path, `${key} is true or false, not ${JSON.stringify(value)}`)
}

function tables(value: TomlValue | undefined, path: string): TomlTable[] {
  if (value === undefined) return []
  if (Array.isArray(value) && value.every(isTable)) return value
  throw bad(path, 'registry and mirror are written [[…]]')
}

function string(value: TomlValue | undefined, path: string): string {
  if (value === undefined) return ''
  if (typeof value === 'string') return value.replace(/\/+$/, '')
  throw bad(path, `${JSON.stringify(value)} should be a string`)
}

function hostOf(location: string): string {
  return location.split('/', 1)[0] ?? location
}

function bad(path: string, reason: string): RegistryError {
  return new RegistryError('bad-configuration', `${path}: ${reason}`)
}
